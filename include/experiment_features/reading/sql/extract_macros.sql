-- How a row is taken apart and a cell is typed, for the extract_*.sql files.
--
-- A cell is trimmed, and NULL when it is empty. Its value is NULL when the cell is none of its
-- column's kind. Its text is kept where the value alone would not give the spelling back, so a cell
-- that could not be typed is a NULL value beside a text.
--
-- Casts alone take too much: 1.0, 1e3, 1_000 and 0x10 as integers, inf as a date. A cell that is
-- spelled as its value prints is right, and cheap to know; a pattern judges the rest. What two
-- macros need is computed once, in a step of its own (cast_*, is_plain): DuckDB does not share it.

-- The rows of the stream "rows" (reader.ROWS): cells, or the fault that leaves them unknown.
create or replace temporary macro taken_apart(delimiter, width) as table
    with split as (
        select position, line, fault, has_nul, coalesce(fields, string_split(line, delimiter)) as cells
        from rows
    ),
    judged as (
        select
            position,
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
        position,
        fault,
        case when fault is not null then line end as line,
        has_nul,
        case when fault is null then cells end as cells
    from judged;

create or replace temporary macro integer_value(cell, cast_integer) as
    case
        when cast_integer::varchar = cell then cast_integer
        when regexp_full_match(cell, '[+-]?[0-9]+') then cast_integer
    end;

create or replace temporary macro integer_text(cell, cast_integer) as
    nullif(cell, cast_integer::varchar);

-- Numbers as most tools write them: no sign, exponent or zeros that could be left out, and so few
-- digits that the double prints as the cell again (describe_issues.sql).
create or replace temporary macro is_plain_number(cell) as
    regexp_full_match(cell, '(0|[1-9][0-9]{0,10})([.][0-9]{0,2}[1-9])?');

create or replace temporary macro number_value(cell, cast_number, is_plain) as
    case
        when is_plain then cast_number
        when isfinite(cast_number)
            and regexp_full_match(cell, '[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?')
            then cast_number
    end;

create or replace temporary macro number_text(cell, is_plain) as
    case when is_plain then null else cell end;

create or replace temporary macro date_value(cell) as
    case
        when regexp_full_match(cell, '[0-9]{4}-[0-9]{2}-[0-9]{2}') and cell > '0001'
            then try_cast(cell as date)
    end;

create or replace temporary macro date_text(cell) as
    case when date_value(cell) is null then cell end;

-- Lists as most tools write them: no blanks, empty items, signs or zeros in front, and no item
-- that could be out of range.
create or replace temporary macro is_plain_list(cell) as
    regexp_full_match(cell, '(0|[1-9][0-9]{0,17})(;(0|[1-9][0-9]{0,17}))*');

-- list_distinct builds a hash table for every list; most lists are short enough to compare.
create or replace temporary macro has_repeats(list) as
    case len(list)
        when 1 then false
        when 2 then list[1] = list[2]
        when 3 then list[1] = list[2] or list[1] = list[3] or list[2] = list[3]
        when 4 then list[1] = list[2] or list[1] = list[3] or list[1] = list[4]
            or list[2] = list[3] or list[2] = list[4] or list[3] = list[4]
        else len(list_distinct(list)) < len(list)
    end;

-- The items of any list: trimmed, without the empty ones, NULL where one is no integer.
create or replace temporary macro odd_list(cell) as
    list_transform(
        list_filter(
            list_transform(string_split(cell, ';'), lambda item: trim(item, e' \t')),
            lambda item: item <> ''
        ),
        lambda item: case when regexp_full_match(item, '[+-]?[0-9]+') then try_cast(item as bigint) end
    );

-- Each item once; an empty list when the cell holds only separators and blanks.
create or replace temporary macro integers_value(cell, plain_list, repeats) as
    case
        when not repeats then plain_list
        when repeats then list_distinct(plain_list)
        when list_count(odd_list(cell)) = len(odd_list(cell)) then list_distinct(odd_list(cell))
    end;

create or replace temporary macro integers_text(cell, repeats) as
    case when not repeats then null else cell end;
