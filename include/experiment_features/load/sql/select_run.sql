-- A run. Grain: at most one run. Value: run_id.
select {columns}
from features.pipeline_runs
where run_id = %(run_id)s
