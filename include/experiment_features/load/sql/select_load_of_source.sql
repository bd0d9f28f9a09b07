-- The latest run that loaded its drop from a source, or found it already loaded.
-- Grain: at most one run. Value: source.
select {columns}
from features.pipeline_runs
where
    source = %(source)s
    and status in ('loaded', 'unchanged')
order by finished_at desc
limit 1
