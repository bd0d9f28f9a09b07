-- Ends the period of every row that has changed or is no longer in the drop. Grain: that of the
-- relation; returns one row: how many periods were added as they were. Value: loaded_at, when these
-- periods end.
with closed as (
    insert into {past} ({columns}, run_id, valid_from, valid_to)
    select
        {current_columns},
        current.run_id,
        current.updated_at,
        %(loaded_at)s
    from {relation} as current
    inner join {changed} as changed using ({key})
    where changed.is_known
    returning {columns}, run_id, valid_from, valid_to
)

-- A condition in where would make the planner expect few rows, and use a nested loop.
select
    count(*) filter (
        where ({closed_columns}, closed.run_id, closed.valid_from, closed.valid_to)
        is not distinct from
        ({current_columns}, current.run_id, current.updated_at, %(loaded_at)s)
    )
from closed
inner join {relation} as current using ({key})
