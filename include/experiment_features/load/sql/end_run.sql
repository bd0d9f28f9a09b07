-- Enters how a run ended; only_running: unless its entry says so already. Grain: one row; columns: how
-- many entries had to be written, and were. A run ends after the load that was then the last, even if
-- the clock was ahead during that load.
-- Values: only_running, run_id, status, task, error, error_file, error_line, error_column, message.
with due as (
    select run_id
    from features.pipeline_runs
    where run_id = %(run_id)s and (status = 'running' or not %(only_running)s)
    for update
),
written as (
    update features.pipeline_runs as runs
    set
        status = %(status)s,
        task = %(task)s,
        error = %(error)s,
        error_file = %(error_file)s,
        error_line = %(error_line)s,
        error_column = %(error_column)s,
        message = %(message)s,
        finished_at = greatest(
            started_at,
            clock_timestamp(),
            (select max(finished_at) from features.pipeline_runs where status = 'loaded')
        )
    from due
    where runs.run_id = due.run_id
    returning runs.run_id
)
select
    (select count(*) from due) as due,
    (select count(*) from written) as written
