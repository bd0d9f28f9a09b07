-- The largest changes of a plan. Grain: row of the relation, and feature. Value: rows.
select
    id,
    feature,
    {before},
    {after}
from (
    select *
    from ({changes}) as changes
    order by {keys}
    limit %(rows)s
) as largest
order by {keys}
