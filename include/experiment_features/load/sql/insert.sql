-- Inserts the new rows. Grain: that of the relation. Values: run_id, loaded_at.
insert into {relation} ({columns}, run_id, updated_at)
select
    {staged_columns},
    %(run_id)s,
    %(loaded_at)s
from {staged} as staged
inner join {changed} as changed using ({key})
where not changed.is_known
