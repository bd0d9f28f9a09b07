-- The drops of which the last run did not load, or not yet, unless a snapshot has been loaded since;
-- a restore reads no drop. Grain: drop. Value: sources, in order.
with last_runs as (
    select distinct on (source)
        source,
        run_id,
        status,
        started_at
    from features.pipeline_runs
    where
        source = any(%(sources)s)
        and status <> 'skipped'
        and parameters ->> 'restored_run' is null
    order by
        source,
        started_at desc
)

select
    source,
    run_id,
    status
from last_runs
where
    status not in ('loaded', 'unchanged')
    and not exists (
        select
        from features.pipeline_runs as later
        where
            later.status = 'loaded'
            and later.mode = 'snapshot'
            and later.parameters ->> 'restored_run' is null
            and later.started_at > last_runs.started_at
    )
order by array_position(%(sources)s, source)
