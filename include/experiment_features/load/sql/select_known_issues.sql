-- The open issues of rows with a readable id. Grain: issue; columns: the table, the row's position
-- (contract.position_of; null if its file is in no layer), its id, and 1 for an error, 0 for a warning.
-- Values, of each file of the layers: tables, run_ids, names, and starts, the position of line 0.
select
    issues.table_name,
    files.start + issues.line_number as position,
    issues.row_id,
    (issues.severity = 'error')::int as is_error
from features.latest_data_issues as issues
left join
    unnest(%(tables)s::text[], %(run_ids)s::text[], %(names)s::text[], %(starts)s::bigint[])
        as files (table_name, run_id, file_name, start)
    using (table_name, run_id, file_name)
where issues.row_id is not null
