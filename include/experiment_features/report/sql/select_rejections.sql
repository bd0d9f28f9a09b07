-- The rules for which rows of experiments were rejected at a moment. Grain: rule of a row.
-- Values: moment, when a load ended; positions of the rows, and their places: run_ids (whose drop
-- brought the row), file_names, line_numbers.
select
    places.position,
    issues.rule
from features.data_issues as issues
inner join
    unnest(
        %(positions)s::bigint[], %(run_ids)s::text[], %(file_names)s::text[], %(line_numbers)s::bigint[]
    ) as places (position, run_id, file_name, line_number)
    using (run_id, file_name, line_number)
left join features.pipeline_runs as found on issues.found_by = found.run_id
left join features.pipeline_runs as closed on issues.closed_by = closed.run_id
where
    issues.table_name = 'user_experiments'
    and issues.severity = 'error'
    and coalesce(found.finished_at, '-infinity') <= %(moment)s
    and coalesce(closed.finished_at, 'infinity') > %(moment)s
order by
    places.position,
    issues.rule
