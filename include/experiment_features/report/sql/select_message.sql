-- Why a run failed. Grain: at most one run. Value: run_id.
select message
from features.pipeline_runs
where run_id = %(run_id)s
