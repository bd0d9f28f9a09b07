-- A staging table of words of names that change, before or after. Grain: word of a name.
create temporary table {target} on commit drop as
select
    name_from,
    name_before,
    {key}
from {words}
with no data
