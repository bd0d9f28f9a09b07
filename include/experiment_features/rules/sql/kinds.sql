-- How a cell of each kind (contract.Kind) is written back from its value and text, as it was spelled.
-- NUL, which PostgreSQL's text cannot hold, is shown as U+FFFD.

create temporary macro shown(text) as replace(text, chr(0), '�');
create temporary macro text_written(value, text) as shown(text);
create temporary macro integer_written(value, text) as coalesce(shown(text), value::varchar);
create temporary macro date_written(value, text) as coalesce(shown(text), value::varchar);
create temporary macro integers_written(value, text) as
    coalesce(shown(text), array_to_string(value, ';'));

create temporary macro number_written(value, text) as
    coalesce(
        shown(text),
        case when value = floor(value) then value::bigint::varchar else value::varchar end
    );

-- A row that could not be split is its line.
create temporary macro raw_row(line, cells) as
    case when line is null then cells else json_object('line', shown(line)) end;

-- The id of a row, if it is readable: of one that could be split, a whole number above 0.
create temporary macro row_id(line, id) as case when line is null and id > 0 then id end;
