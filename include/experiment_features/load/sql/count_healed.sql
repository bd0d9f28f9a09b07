-- The rows of earlier drops that are valid now, though they had been rejected, and that the delta
-- neither replaces nor deletes. Grain: one row. Values: run_ids, of those drops; tables, other than
-- those of deletions.
select count(distinct (issues.run_id, issues.table_name, issues.file_name, issues.line_number))
from known_issues as issues
where
    issues.run_id = any(%(run_ids)s)
    and issues.table_name = any(%(tables)s)
    and issues.severity = 'error'
    and issues.row_id is not null
    and not exists (
        select
        from touched_ids as touched
        where (touched.table_name, touched.id) = (issues.table_name, issues.row_id)
    )
    and not exists (
        select
        from staged_issues as staged
        where
            staged.severity = 'error'
            and (staged.table_name, staged.file_name, staged.line_number, staged.run_id)
            = (issues.table_name, issues.file_name, issues.line_number, issues.run_id)
    )
