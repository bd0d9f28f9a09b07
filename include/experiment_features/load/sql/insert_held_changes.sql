-- Records what a held load would have removed. Grain: row of the relation.
-- Values: run_id, table_name.
insert into features.held_changes (run_id, table_name, id, name, total_experiments)
select
    %(run_id)s,
    %(table_name)s,
    {key},
    current.{name},
    current.total_experiments
from {relation} as current
inner join {changed} as changed using ({key})
where not changed.is_staged
