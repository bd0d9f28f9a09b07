-- The run whose features are in the database. Grain: at most one run.
select {columns}
from features.pipeline_runs
where status = 'loaded'
order by finished_at desc
limit 1
