-- Enters the source that a running run has resolved. Grain: one row; columns: how many entries had to
-- be written, and were. Values: run_id, source.
with due as (
    select run_id
    from features.pipeline_runs
    where run_id = %(run_id)s and status = 'running'
    for update
),
written as (
    update features.pipeline_runs as runs
    set source = %(source)s
    from due
    where runs.run_id = due.run_id
    returning runs.run_id
)
select
    (select count(*) from due) as due,
    (select count(*) from written) as written
