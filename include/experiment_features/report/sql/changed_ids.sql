-- The rows that a load has changed, removed or added. Grain: that of the relation. Values: run_id,
-- loaded_at, table_name.
select {key} as id
from {past}
where valid_to = %(loaded_at)s
union all
select unnest(inserted_ids)
from features.load_changes
where run_id = %(run_id)s and table_name = %(table_name)s
