-- All names of a relation, in about the order in which the index has their words. Grain: that of the
-- relation. See select_renamed.sql.
select
    {key},
    "left"({name}, 1000)
from {relation}
order by {name} collate "C"
