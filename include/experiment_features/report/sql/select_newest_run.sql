-- The newest run with one of these statuses, and the time. Grain: one row; the columns of the run are
-- null if there is none. Value: statuses.
select
    clock_timestamp() as now,
    newest.*
from (values (1)) as one
left join lateral (
    select
        run_id,
        "left"(source, 500) as source,
        status,
        started_at,
        finished_at
    from features.pipeline_runs
    where status = any(%(statuses)s)
    order by
        started_at desc,
        run_id desc
    limit 1
) as newest on true
