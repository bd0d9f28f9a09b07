-- Whether a text shows that points may separate thousands: it holds one number, and that has a
-- decimal comma, or several points with three digits after each. Before the number there may be
-- one word, and after it any number of them, such as currencies and units; other signs anywhere.
-- Where nothing but signs stands around it, the number may also begin or end with its comma.
create or replace temporary macro shows_thousands_points(text) as
    regexp_full_match(
        text,
        '[^\pL\p{Nd},٫，]*(\pL+[^\pL\p{Nd},٫，]*)?'
        || '((\p{Nd}+|\p{Nd}{1,3}([.''’\pZ]\p{Nd}{3})+)'
        || '[\pZ\pC]*[,٫，][\pZ\pC]*(\p{Nd}+([eE][+-]?\p{Nd}+)?|[-–—−])'
        || '|\p{Nd}{1,3}([.]\p{Nd}{3}){2,})'
        || '[^\p{Nd},٫，]*'
    )
    or regexp_full_match(
        text,
        '[^\pL\p{Nd},٫，.]*((\p{Nd}+|\p{Nd}{1,3}([.''’\pZ]\p{Nd}{3})+)[,٫，]'
        || '|[,٫，]\p{Nd}+([eE][+-]?\p{Nd}+)?)[^\pL\p{Nd},٫，.]*'
    );

-- Whether it is one with a point before its last three digits, which may separate thousands.
create or replace temporary macro has_point_and_three_digits(text) as
    regexp_full_match(text, '[+-]?[0-9]*[.][0-9]{3}');

-- A number as it is spelled: by its text, or as its value prints (kinds.sql, number_check).
create or replace temporary macro spelled(value, text) as coalesce(text, value::varchar);
