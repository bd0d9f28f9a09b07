-- The load that ended a period, unless it has been forgotten. Grain: at most one run. Value: moment,
-- the end of the period.
select run_id
from features.pipeline_runs
where loaded_at = %(moment)s
