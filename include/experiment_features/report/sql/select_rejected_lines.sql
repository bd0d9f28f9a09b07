-- The lines of rows of experiments that were rejected at a moment. Grain: file. Values: moment, when
-- a load ended; run_ids, whose drops brought the rows.
select
    issues.run_id,
    issues.file_name,
    array_agg(distinct issues.line_number) as line_numbers
from features.data_issues as issues
left join features.pipeline_runs as found on issues.found_by = found.run_id
left join features.pipeline_runs as closed on issues.closed_by = closed.run_id
where
    issues.run_id = any(%(run_ids)s)
    and issues.table_name = 'user_experiments'
    and issues.severity = 'error'
    and coalesce(found.finished_at, '-infinity') <= %(moment)s
    and coalesce(closed.finished_at, 'infinity') > %(moment)s
group by
    issues.run_id,
    issues.file_name
