-- Adds the issues that are new; those that held before stay as they are. Grain: issue.
insert into features.data_issues (
    run_id,
    severity,
    table_name,
    row_id,
    file_name,
    line_number,
    rule,
    column_name,
    value,
    message,
    raw_row,
    found_by
)
select
    run_id,
    severity,
    table_name,
    row_id,
    file_name,
    line_number,
    rule,
    column_name,
    value,
    message,
    raw_row,
    found_by
from staged_issues as staged
where not exists (
    select
    from features.latest_data_issues as issues
    where
        (staged.table_name, staged.file_name, staged.line_number, staged.rule, staged.run_id)
        = (issues.table_name, issues.file_name, issues.line_number, issues.rule, issues.run_id)
)
