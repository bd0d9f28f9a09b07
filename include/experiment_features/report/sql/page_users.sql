-- A page of users. Grain: user. Values: search (the beginning of a name), user_id (to find one
-- user), cursor (user_id of the row next to the page), which may be null; length of texts; rows.
select
    {features},
    cardinality(most_common_compound_ids) as tied_compounds
from features.user_features
where (%(user_id)s::bigint is null or user_id = %(user_id)s)
    and (
        %(search)s::text is null
        or lower("left"(user_name, 64)) collate "C" ^@ lower("left"(%(search)s, 64))
    )
    and (
        %(cursor)s::bigint is null
        or ({keys}) {beyond} (
            select {keys} from features.user_features where user_id = %(cursor)s
        )
    )
order by {order}
limit %(rows)s
