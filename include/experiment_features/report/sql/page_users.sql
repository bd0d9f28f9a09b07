-- A page of users. Grain: user. Values: user_id (to find one user), cursor (user_id of the row next to
-- the page), which may be null; length of texts; rows.
select
    {features}
from features.user_features
where (%(user_id)s::bigint is null or user_id = %(user_id)s)
    and (
        %(cursor)s::bigint is null
        or ({keys}) {beyond} (
            select {keys} from features.user_features where user_id = %(cursor)s
        )
    )
order by {order}
limit %(rows)s
