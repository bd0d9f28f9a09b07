-- The snapshot in force. Grain: at most one row; columns: source, and when it was loaded, or what a
-- restore loaded again.
select
    last.parts -> 0 ->> 'source' as source,
    coalesce(restored.finished_at, snapshot.finished_at) as loaded_at
from (
    select parts
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
) as last
inner join features.pipeline_runs as snapshot
    on snapshot.run_id = last.parts -> 0 ->> 'run_id'
left join features.pipeline_runs as restored
    on restored.run_id = snapshot.parameters ->> 'restored_run'
