-- All names of a relation. Grain: that of the relation.
select
    {key},
    {name}
from {relation}
