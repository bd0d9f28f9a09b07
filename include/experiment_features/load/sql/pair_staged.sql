-- The rows that a load would change, before and after. Grain: that of the relation.
select
    {key} as id,
    case when not changed.is_known then 'new' when changed.is_staged then 'changed' else 'gone' end as kind,
    {pair}
from {changed} as changed
left join {relation} as before using ({key})
left join {staged} as after using ({key})
