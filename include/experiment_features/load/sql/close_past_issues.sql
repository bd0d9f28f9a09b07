-- Closes the open issues that no longer hold. Grain: issue. Value: run_id, the load.
update features.data_issues as issues
set closed_by = %(run_id)s
from changed_issues as changed
where
    issues.closed_by is null
    and not changed.is_staged
    and (changed.table_name, changed.file_name, changed.line_number, changed.rule, changed.run_id)
    = (issues.table_name, issues.file_name, issues.line_number, issues.rule, issues.run_id)
