-- When the latest run that loaded its drop, or found it already loaded, ended.
-- Grain: one row; null if there is no such run.
select max(finished_at)
from features.pipeline_runs
where status in ('loaded', 'unchanged')
