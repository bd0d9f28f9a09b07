-- Records what a held load would have removed. Grain: one row: how many rows were added as they were.
-- Values: run_id, table_name.
with due as (
    select
        %(run_id)s as run_id,
        %(table_name)s as table_name,
        {key} as id,
        current.{name} as name,
        current.total_experiments
    from {relation} as current
    inner join {changed} as changed using ({key})
    where not changed.is_staged
),

written as (
    insert into features.held_changes (run_id, table_name, id, name, total_experiments)
    select * from due
    returning run_id, table_name, id, name, total_experiments
)

select count(*)
from (select * from written intersect select * from due) as unaltered
