-- Rows as the reader hands them on (file_reader.ROWS), split into cells. Grain: row; key: line_number.
-- fault, line: why a row could not be split, and its text; its cells are then NULL.
create or replace temporary macro split_rows(delimiter, width) as table
    with split as (
        select
            line_number,
            line,
            fault,
            has_nul,
            coalesce(fields, string_split(line, delimiter)) as cells
        from rows
    ),
    judged as (
        select
            line_number,
            line,
            has_nul,
            case
                when fault is not null then fault
                when len(cells) < width then 'too_few_fields'
                when len(cells) > width then 'too_many_fields'
            end as fault,
            cells
        from split
    )
    select
        line_number,
        fault,
        case when fault is not null then line end as line,
        has_nul,
        case when fault is null then cells end as cells
    from judged
