-- Records how many rows a load has added, changed and removed, which it has added, and the largest
-- changes of each kind, in their order. Grain: one row: how many entries were added as they were.
-- Values: run_id, table_name, inserted, updated, deleted, listed. The limits spare a scan for what there
-- is none of.
with due as (
    select
        %(run_id)s as run_id,
        %(table_name)s as table_name,
        %(inserted)s::bigint as inserted,
        %(updated)s::bigint as updated,
        %(deleted)s::bigint as deleted,
        array(select {key} from {changed} where not is_known limit %(inserted)s) as inserted_ids,
        array(
            (
                select {key}
                from {changed}
                where not is_known
                order by {keys}
                limit least(%(inserted)s, %(listed)s)
            )
            union all
            (
                select {key}
                from {changed}
                where is_known and is_staged
                order by {keys}
                limit least(%(updated)s, %(listed)s)
            )
            union all
            (
                select {key}
                from {changed}
                where not is_staged
                order by {keys}
                limit least(%(deleted)s, %(listed)s)
            )
        ) as largest_ids
),

written as (
    insert into features.load_changes (
        run_id, table_name, inserted, updated, deleted, inserted_ids, largest_ids
    )
    select * from due
    returning run_id, table_name, inserted, updated, deleted, inserted_ids, largest_ids
)

select count(*)
from (select * from written intersect select * from due) as unaltered
