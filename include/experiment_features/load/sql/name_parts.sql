-- Enters which parts a run uses. Grain: run. Values: run_id, parts.
update features.pipeline_runs
set parts = %(parts)s
where run_id = %(run_id)s
