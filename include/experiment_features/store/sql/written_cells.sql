-- How a cell of each kind (contract.Kind) is written back from its value and text, as it was spelled.
create or replace temporary macro text_written(value, text) as text;
create or replace temporary macro integer_written(value, text) as coalesce(text, value::varchar);
create or replace temporary macro date_written(value, text) as coalesce(text, value::varchar);
create or replace temporary macro integers_written(value, text) as
    coalesce(text, array_to_string(value, ';'));

create or replace temporary macro number_written(value, text) as
    coalesce(
        text,
        case when value = floor(value) then value::bigint::varchar else value::varchar end
    );
