-- All names of a relation. Grain: that of the relation. See select_renamed.sql.
select
    {key},
    "left"({name}, 1000)
from {relation}
