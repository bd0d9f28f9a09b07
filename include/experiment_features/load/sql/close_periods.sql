-- Ends the period of every row that changed or is gone. Grain: that of the relation.
-- Values: loaded_at, when the new period begins.
insert into {past} ({columns}, run_id, valid_from, valid_to)
select
    {current_columns},
    current.run_id,
    current.updated_at,
    %(loaded_at)s
from {relation} as current
inner join {changed} as changed using ({key})
where changed.is_known
