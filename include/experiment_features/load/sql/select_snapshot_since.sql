-- The source of the latest snapshot that was loaded after a run had begun; a restore reads no drop.
-- Grain: at most one row. Value: run_id.
select loaded.source
from features.pipeline_runs as loaded
inner join features.pipeline_runs as begun
    on loaded.finished_at > begun.started_at
where
    begun.run_id = %(run_id)s
    and loaded.status = 'loaded'
    and loaded.mode = 'snapshot'
    and loaded.parameters ->> 'restored_run' is null
order by loaded.finished_at desc
limit 1
