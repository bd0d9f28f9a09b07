-- Enters the source that a running run has resolved. Grain: run. Values: run_id, source.
update features.pipeline_runs
set source = %(source)s
where run_id = %(run_id)s and status = 'running'
