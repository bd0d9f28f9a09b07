-- Ends the period of every row that has changed or is no longer in the drop. Grain: that of the
-- relation. Value: loaded_at, when these periods end.
insert into {past} ({columns}, run_id, valid_from, valid_to)
select
    {current_columns},
    current.run_id,
    current.updated_at,
    %(loaded_at)s
from {relation} as current
inner join {changed} as changed using ({key})
where changed.is_known
