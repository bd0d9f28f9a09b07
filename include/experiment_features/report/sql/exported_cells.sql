-- What the export of a row needs to know of its cells, which are texts.

create or replace temporary macro joined(cells) as array_to_string(cells, ' ');

-- How many delimiters a line within a quoted cell may have.
create or replace temporary macro count_inner_delimiters(cells) as
    case
        when regexp_matches(joined(cells), '[\r\n]')
            then length(joined(cells)) - length(replace(joined(cells), ',', ''))
        else 0
    end;

-- Whether the NUL byte of a row was in a column that is not kept.
create or replace temporary macro has_lost_nul(has_nul, cells) as
    has_nul and not contains(joined(cells), chr(0));

create or replace temporary macro ignored_cell(has_nul, cells, number) as
    case when number = 1 and has_lost_nul(has_nul, cells) then chr(0) end;
