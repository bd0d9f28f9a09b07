-- The load that was in force before a run. Grain: at most one run. Value: run_id.
select run_id
from features.pipeline_runs
where
    status = 'loaded'
    and finished_at < (select finished_at from features.pipeline_runs where run_id = %(run_id)s)
order by finished_at desc
limit 1
