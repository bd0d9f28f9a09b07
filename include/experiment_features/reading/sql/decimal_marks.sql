-- Whether a text is a number with a decimal comma, with or without signs between its thousands.
create or replace temporary macro has_decimal_comma(text) as
    regexp_full_match(
        text,
        '[+−-]?(([0-9]+|[0-9]{1,3}([. ''’\x{A0}\x{202F}][0-9]{3})+),[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?'
    );

-- Whether it is one with a point before its last three digits, which may separate thousands.
create or replace temporary macro has_point_and_three_digits(text) as
    regexp_full_match(text, '[+-]?[0-9]*[.][0-9]{3}');

-- A number as it is spelled: by its text, or as its value prints (kinds.sql, number_check).
create or replace temporary macro spelled(value, text) as coalesce(text, value::varchar);
