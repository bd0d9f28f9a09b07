-- How many of the staged issues that a run has found are not in data_issues as they were staged.
-- Grain: one row. Value: run_id.
select count(*)
from (
    select {columns}
    from {staged}
    except
    select {columns}
    from features.data_issues
    where found_by = %(run_id)s
) as altered
