-- Grain: issue of a row. Columns as in workspace.issues, behind the run's id.
copy features.data_issues (
    run_id,
    severity,
    table_name,
    file_name,
    line_number,
    rule,
    column_name,
    value,
    message,
    raw_row
) from stdin
