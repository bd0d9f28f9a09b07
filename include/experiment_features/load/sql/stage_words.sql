-- The staging table of the words of names that change. Grain: word of a name, before or after.
create temporary table {staged_words} on commit drop as
select
    name_from,
    name_before,
    {key},
    0 as is_new
from {words}
with no data
