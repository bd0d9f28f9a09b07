-- A page of the ledger. Grain: run. Values: run_id (to find one run and its rejected attempt),
-- cursor (run_id of the row next to the page), rows; all but the last may be null. rejected_share
-- is a share of all rows read; a delta also rejects rows of earlier drops, so it has none.
select
    runs.run_id,
    runs.trigger,
    "left"(runs.source, 500) as source,
    runs.engine,
    runs.status,
    runs.users,
    runs.experiments,
    runs.compounds,
    runs.average_experiments_per_user,
    runs.rejected_rows,
    runs.warnings,
    runs.inserted,
    runs.updated,
    runs.deleted,
    runs.unchanged,
    runs.started_at,
    runs.finished_at,
    runs.parameters,
    runs.triggered_by,
    runs.task,
    runs.error,
    runs.error_file,
    runs.error_line,
    runs.notices,
    runs.mode,
    runs.base_run_id,
    runs.healed,
    runs.judged,
    runs.loaded_at,
    extract(epoch from runs.finished_at - runs.started_at)::double precision as seconds,
    files.rows_read,
    case
        when runs.mode is distinct from 'delta'
            then runs.rejected_rows / nullif(files.rows_read, 0)::double precision
    end as rejected_share
from features.pipeline_runs as runs
cross join lateral (
    select sum((file ->> 'rows')::bigint)::bigint as rows_read
    from jsonb_array_elements(runs.source_files) as file
) as files
where (%(run_id)s::text is null or runs.run_id in (%(run_id)s, %(run_id)s || '/rejected'))
    and (
        %(cursor)s::text is null
        or ({keys}) {beyond} (
            select {keys} from features.pipeline_runs as runs where runs.run_id = %(cursor)s
        )
    )
order by {order}
limit %(rows)s
