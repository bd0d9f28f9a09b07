-- The rows with the largest changes of a load. Grain: that of the relation. Values: run_id, table_name.
select unnest(largest_ids) as id
from features.load_changes
where run_id = %(run_id)s and table_name = %(table_name)s
