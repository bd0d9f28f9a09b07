-- The load in force when a run ended, which may be that run; or else the last load.
-- Grain: at most one run. Value: run_id, or null.
select {columns}
from features.pipeline_runs
where
    status = 'loaded'
    and finished_at <= coalesce(
        (
            select coalesce(finished_at, clock_timestamp())
            from features.pipeline_runs
            where run_id = %(run_id)s
        ),
        'infinity'
    )
order by finished_at desc
limit 1
