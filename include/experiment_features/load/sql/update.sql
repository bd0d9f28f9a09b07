-- Updates the known rows that changed to their staged values. Grain: that of the relation.
-- Values: run_id, loaded_at.
update {relation} as current
set
    ({columns}, run_id, updated_at) = row({staged_columns}, %(run_id)s, %(loaded_at)s)
from {staged} as staged
inner join {changed} as changed using ({key})
where current.{key} = changed.{key}
