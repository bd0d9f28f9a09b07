-- The load in force when a run ended, which may be that run; or the last load, if the run has not
-- ended or is null. Grain: at most one run. Value: run_id, or null.
-- No run ends before the load that was then the last, whatever the clock said: see end_run.sql.
select {columns}
from features.pipeline_runs
where
    status = 'loaded'
    and finished_at <= coalesce(
        (select finished_at from features.pipeline_runs where run_id = %(run_id)s), 'infinity'
    )
order by finished_at desc
limit 1
