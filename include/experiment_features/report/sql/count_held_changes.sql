-- How many users or compounds a held run would have removed. Grain: one row. Values: run_id;
-- table_name.
select count(*) as gone
from features.held_changes
where run_id = %(run_id)s and table_name = %(table_name)s
