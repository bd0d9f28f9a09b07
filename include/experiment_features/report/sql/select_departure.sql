-- The load that ended a period, unless it has been forgotten. Grain: at most one run. Value: moment,
-- the end of the period.
select run_id
from (
    select
        run_id,
        started_at
    from features.pipeline_runs
    where status = 'loaded' and finished_at >= %(moment)s
    order by finished_at
    limit 1
) as next_load
where started_at <= %(moment)s
