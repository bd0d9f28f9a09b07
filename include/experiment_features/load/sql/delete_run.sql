-- Deletes an earlier attempt of a run, and with it its issues. Grain: run. Value: run_id.
delete from features.pipeline_runs
where run_id = %(run_id)s
