-- Enters how a run ended; only_running: unless its entry says so already. Grain: run.
-- Values: only_running, run_id, status, task, error, error_file, error_line, error_column, message.
update features.pipeline_runs
set
    status = %(status)s,
    task = %(task)s,
    error = %(error)s,
    error_file = %(error_file)s,
    error_line = %(error_line)s,
    error_column = %(error_column)s,
    message = %(message)s,
    finished_at = greatest(started_at, clock_timestamp())
where run_id = %(run_id)s and (status = 'running' or not %(only_running)s)
