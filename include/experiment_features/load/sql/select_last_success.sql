-- When the latest run ended whose drop the features are. Grain: one row; null without such a run.
select max(finished_at)
from features.pipeline_runs
where status in ('loaded', 'unchanged')
