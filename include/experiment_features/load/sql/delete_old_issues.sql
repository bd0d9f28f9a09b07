-- Deletes the issues that were closed long ago, even if the run that closed them is kept.
-- Grain: one row; columns: how many issues had to be deleted, and were. Value: keep_days.
with old_runs as (
    select run_id
    from features.pipeline_runs
    where finished_at < clock_timestamp() - make_interval(days => %(keep_days)s)
),
deleted as (
    delete from features.data_issues as issues
    using old_runs
    where issues.closed_by = old_runs.run_id
    returning issues.run_id
)
select
    (
        select count(*)
        from features.data_issues as issues
        inner join old_runs on issues.closed_by = old_runs.run_id
    ) as due,
    (select count(*) from deleted) as deleted
