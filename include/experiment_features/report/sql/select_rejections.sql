-- The rules for which rows of experiments were rejected. Grain: rule of a row. Values: run_id,
-- the load that judged them, and the places of the rows: file_names, line_numbers.
select
    file_name,
    line_number,
    rule
from features.data_issues
inner join unnest(%(file_names)s::text[], %(line_numbers)s::bigint[]) as places (file_name, line_number)
    using (file_name, line_number)
where
    found_by = %(run_id)s
    and table_name = 'user_experiments'
    and severity = 'error'
order by
    file_name,
    line_number,
    rule
