-- A page of what a load has changed, largest first. Grain: row of the relation, and feature that
-- changed. Values: what the pairs have; feature, which may be null; length of texts; rows, null for
-- all; cursor_ and the name of each key, null for the first page: an infinite relative_size is null.
select
    id,
    {shown_name} as name,
    kind,
    feature,
    size,
    nullif(relative_size, 'infinity') as relative_size,
    {before} as before,
    {after} as after
from (
    select *
    from ({changes}) as changes
    where
        (%(kind)s::text is null or kind = %(kind)s)
        and (%(feature)s::text is null or feature = %(feature)s)
        and (
            %(cursor_size)s::bigint is null
            or ({keys}) {beyond} (
                -%(cursor_size)s::bigint,
                -coalesce(%(cursor_relative_size)s::float8, 'infinity'),
                %(cursor_id)s::bigint,
                %(cursor_feature)s::text
            )
        )
    order by {order}
    limit %(rows)s::bigint
) as page
order by {order}
