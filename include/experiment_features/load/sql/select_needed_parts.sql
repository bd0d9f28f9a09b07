-- The parts that must stay: those of the last load, of runs in progress, and of runs of which the
-- features were in force, or which ended, so many days ago or later; what was compacted only for the
-- first two. Grain: part. Value: keep_days.
with runs as (
    select
        parts,
        status = 'running' as is_running,
        row_number() over (partition by status = 'loaded' order by finished_at desc) = 1
        and status = 'loaded' as is_last_load,
        case
            when status = 'loaded'
                then lead(finished_at) over (partition by status = 'loaded' order by finished_at)
            else finished_at
        end as ended_at
    from features.pipeline_runs
)

select distinct
    part ->> 'table' as table_name,
    part ->> 'part' as part
from
    runs,
    jsonb_array_elements(runs.parts) as layer,
    jsonb_array_elements(
        (layer -> 'parts')
        || case when runs.is_running or runs.is_last_load then coalesce(layer -> 'compacted', '[]') else '[]' end
    ) as part
where
    runs.is_running
    or runs.is_last_load
    or runs.ended_at > clock_timestamp() - make_interval(days => %(keep_days)s)
