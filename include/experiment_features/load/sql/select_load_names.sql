-- What a delta may call a load: its id, and those of the unchanged runs that found it.
-- Grain: one row. Value: run_id, of the load.
with runs as (
    select
        run_id,
        status,
        count(*) filter (where status = 'loaded') over (order by finished_at) as load_number
    from features.pipeline_runs
    where status in ('loaded', 'unchanged')
)

select array_agg(others.run_id) as run_ids
from runs
inner join runs as others using (load_number)
where
    runs.status = 'loaded'
    and runs.run_id = %(run_id)s
