-- A page of users or compounds. Grain: that of the relation. Values: id (to find one row), cursor (id of
-- the row next to the page), which may be null; length of texts; rows.
select
    {features}
from {relation}
where (%(id)s::bigint is null or {key} = %(id)s)
    and (
        %(cursor)s::bigint is null
        or ({keys}) {beyond} (
            select {keys} from {relation} where {key} = %(cursor)s
        )
    )
order by {order}
limit %(rows)s
