-- What is shown of a row. NUL, which PostgreSQL's text cannot hold, is shown as U+FFFD.
create temporary macro shown(text) as replace(text, chr(0), '�');

-- A row that could not be split is its line.
create temporary macro raw_row(line, cells) as
    case when line is null then cells else json_object('line', shown(line)) end;

-- The id of a row, if it is readable: of one that could be split, a whole number above 0.
create temporary macro row_id(line, id) as case when line is null and id > 0 then id end;
