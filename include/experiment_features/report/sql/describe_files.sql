-- What the files of an exported table need. Grain: file; columns: file; rows; extra_columns: so many
-- that no line within a quoted cell has as many fields as the header, for it would look like a row,
-- and one for a lost NUL byte; lacks_commas: whether numbers are ambiguous, but none that made them
-- so is in force.
select
    file,
    count(*) as row_count,
    max(greatest(count_inner_delimiters(cells), has_lost_nul(has_nul, cells)::integer)) as extra_columns,
    bool_or(is_ambiguous) and not bool_or(shows_commas) as lacks_commas
from exported_rows
group by file
order by file
