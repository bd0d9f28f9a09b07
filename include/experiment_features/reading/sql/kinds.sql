-- How a cell of each kind (contract.Kind) becomes a value, and beside it the text that the value
-- alone would not give back. A cell is trimmed, and NULL when it is empty. Each kind has four
-- macros, text three:
--
--   <kind>_cast(cell)                      computed once, for the macros below
--   <kind>_check(cell, as_cast)            computed once, for the macros below
--   <kind>_value(cell, as_cast, checked)   NULL when the cell is not of the kind
--   <kind>_text(cell, as_cast, checked)    NULL when the value gives the cell's spelling back
--
-- Two steps of their own, because DuckDB would compute again what two macros share.
-- Casts alone take too much: 1.0, 1e3, 1_000 and 0x10 as integers, inf as a date. A cell that is
-- spelled as its value prints is right, and cheap to know; a pattern judges the rest.

create or replace temporary macro cell_at(cells, index) as nullif(cells[index], '');

-- Text: its own value and text.

create or replace temporary macro text_cast(cell) as null;
create or replace temporary macro text_check(cell, as_cast) as null;
create or replace temporary macro text_value(cell, as_cast, checked) as cell;

-- Integers.

create or replace temporary macro integer_cast(cell) as try_cast(cell as bigint);
create or replace temporary macro integer_check(cell, as_cast) as null;

create or replace temporary macro integer_value(cell, as_cast, checked) as
    case
        when as_cast::varchar = cell then as_cast
        when regexp_full_match(cell, '[+-]?[0-9]+') then as_cast
    end;

create or replace temporary macro integer_text(cell, as_cast, checked) as
    nullif(cell, as_cast::varchar);

-- Numbers. The check: as most tools write them, without a sign, an exponent or zeros that could be
-- left out, and with so few digits that the double prints as the cell again: see
-- store/sql/written_cells.sql.

create or replace temporary macro number_cast(cell) as try_cast(cell as double);

create or replace temporary macro number_check(cell, as_cast) as
    regexp_full_match(cell, '(0|[1-9][0-9]{0,10})([.][0-9]{0,2}[1-9])?');

create or replace temporary macro number_value(cell, as_cast, checked) as
    case
        when checked then as_cast
        when isfinite(as_cast)
            and regexp_full_match(cell, '[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?')
            then as_cast
    end;

create or replace temporary macro number_text(cell, as_cast, checked) as
    case when checked then null else cell end;

-- Dates.

create or replace temporary macro date_cast(cell) as
    case
        when regexp_full_match(cell, '[0-9]{4}-[0-9]{2}-[0-9]{2}') and cell > '0001'
            then try_cast(cell as date)
    end;

create or replace temporary macro date_check(cell, as_cast) as null;
create or replace temporary macro date_value(cell, as_cast, checked) as as_cast;

create or replace temporary macro date_text(cell, as_cast, checked) as
    case when as_cast is null then cell end;

-- Lists of integers. The cast: of those as most tools write them, without blanks, empty items, signs
-- or zeros in front, and with no item that could be out of range. The check: whether items repeat.

create or replace temporary macro integers_cast(cell) as
    case
        when regexp_full_match(cell, '(0|[1-9][0-9]{0,17})(;(0|[1-9][0-9]{0,17}))*')
            then try_cast(string_split(cell, ';') as bigint[])
    end;

-- list_distinct builds a hash table for every list; most lists are short enough to compare.
create or replace temporary macro integers_check(cell, as_cast) as
    case len(as_cast)
        when 1 then false
        when 2 then as_cast[1] = as_cast[2]
        when 3 then as_cast[1] = as_cast[2] or as_cast[1] = as_cast[3] or as_cast[2] = as_cast[3]
        when 4 then as_cast[1] = as_cast[2] or as_cast[1] = as_cast[3] or as_cast[1] = as_cast[4]
            or as_cast[2] = as_cast[3] or as_cast[2] = as_cast[4] or as_cast[3] = as_cast[4]
        else len(list_distinct(as_cast)) < len(as_cast)
    end;

-- The items of any list: trimmed, without the empty ones, NULL where one is not an integer. Empty
-- items go first: a million of them would take a hundred times their length in memory.
create or replace temporary macro odd_items(cell) as
    list_transform(
        list_filter(
            string_split(regexp_replace(cell, '[ \t]*;[; \t]*', ';', 'g'), ';'),
            lambda item: item <> ''
        ),
        lambda item: case when regexp_full_match(item, '[+-]?[0-9]+') then try_cast(item as bigint) end
    );

-- Each item once; an empty list when the cell holds only separators and blanks.
create or replace temporary macro integers_value(cell, as_cast, checked) as
    case
        when not checked then as_cast
        when checked then list_distinct(as_cast)
        when list_count(odd_items(cell)) = len(odd_items(cell)) then list_distinct(odd_items(cell))
    end;

create or replace temporary macro integers_text(cell, as_cast, checked) as
    case when not checked then null else cell end;
