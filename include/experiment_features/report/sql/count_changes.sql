-- How many users or compounds a load added, changed and removed. Grain: one row, or none. Values:
-- run_id; table_name.
select
    inserted as new,
    updated as changed,
    deleted as gone
from features.load_changes
where run_id = %(run_id)s and table_name = %(table_name)s
