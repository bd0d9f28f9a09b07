-- Deletes the entry of an earlier attempt of a run, and its issues: it closed them itself. Grain:
-- run. Value: run_id.
delete from features.pipeline_runs
where run_id = %(run_id)s
