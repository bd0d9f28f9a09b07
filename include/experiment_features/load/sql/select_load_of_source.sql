-- The latest run over a source that found its drop in the features, or brought it there.
-- Grain: at most one run. Value: source.
select {columns}
from features.pipeline_runs
where
    source = %(source)s
    and status in ('loaded', 'unchanged')
order by finished_at desc
limit 1
