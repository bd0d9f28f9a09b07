-- How many rows a load added, changed and removed. Grain: one row. Values: run_id; loaded_at;
-- table_name.
with counted as (
    select
        count(*) as ended,
        count(*) filter (
            where exists (
                select
                from ({periods}) as begun
                where begun.{key} = before.{key} and begun.valid_from = %(loaded_at)s
            )
        ) as changed
    from {past} as before
    where before.valid_to = %(loaded_at)s
)

select
    changed,
    ended - changed as gone,
    coalesce(
        (
            select cardinality(ids)
            from features.added_ids
            where run_id = %(run_id)s and table_name = %(table_name)s
        ), 0
    ) as new
from counted
