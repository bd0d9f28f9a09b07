-- The rows that differ, as they are recorded and as they are staged. Grain: row; columns: id; then and
-- now, as JSON, null if the row is not there. Value: rows.
select
    {key} as id,
    case when changed.is_known then to_jsonb(current.*) end as then,
    case when changed.is_staged then to_jsonb(staged.*) end as now
from {changed} as changed
left join {relation} as current using ({key})
left join {staged} as staged using ({key})
order by {key}
limit %(rows)s
