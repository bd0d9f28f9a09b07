-- How many issues no longer hold, and how many are new. Grain: one row.
select
    (
        select count(*)
        from features.latest_data_issues as issues
        where not exists (
            select
            from staged_issues as staged
            where
                (staged.table_name, staged.file_name, staged.line_number, staged.rule, staged.run_id)
                = (issues.table_name, issues.file_name, issues.line_number, issues.rule, issues.run_id)
        )
    ) as closed,
    (
        select count(*)
        from staged_issues as staged
        where not exists (
            select
            from features.latest_data_issues as issues
            where
                (staged.table_name, staged.file_name, staged.line_number, staged.rule, staged.run_id)
                = (issues.table_name, issues.file_name, issues.line_number, issues.rule, issues.run_id)
        )
    ) as found
