-- Closes the open issues that no longer hold. Grain: issue. Value: run_id, the load.
update features.data_issues as issues
set closed_by = %(run_id)s
where
    issues.closed_by is null
    and not exists (
        select
        from staged_issues as staged
        where
            (staged.table_name, staged.file_name, staged.line_number, staged.rule, staged.run_id)
            = (issues.table_name, issues.file_name, issues.line_number, issues.rule, issues.run_id)
    )
