-- How many issues a run found that hold, if it loaded, and that do not, if it did not load.
-- Grain: one row. Values: run_id, is_load.
select count(*)
from features.data_issues
where found_by = %(run_id)s and (closed_by is null) = %(is_load)s
