-- Ends runs that began more than a day ago and never ended: longer than any run may take. One that
-- would begin more than a day from now began when the clock was ahead.
-- Grain: one row; columns: how many entries had to be written, and were.
with due as (
    select run_id
    from features.pipeline_runs
    where
        status = 'running'
        and started_at not between
        clock_timestamp() - interval '1 day' and clock_timestamp() + interval '1 day'
    for update
),
written as (
    update features.pipeline_runs as runs
    set
        status = 'failed',
        error = 'Lost',
        message = 'the run did not end within a day: its process was killed, or its host stopped',
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
