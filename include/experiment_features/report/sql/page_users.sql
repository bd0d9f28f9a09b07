-- A page of users. Grain: user. Values: search (how the name begins), user_id (the only one), cursor
-- (user_id of the row beside the page), rows; each may be null but the last. Names are cut.
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
