-- A name. Grain: at most one row. Value: id.
select {name}
from {relation}
where {key} = %(id)s
