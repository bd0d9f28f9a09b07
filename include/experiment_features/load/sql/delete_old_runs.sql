-- Deletes runs that ended, and loads that were replaced, so many days ago or earlier; never the last
-- load, nor a run that an open issue names. Grain: one row; columns: how many runs had to be deleted,
-- and were. Value: keep_days.
with ended as (
    select
        run_id,
        case -- as in select_needed_parts.sql
            when status = 'loaded'
                then lead(finished_at) over (partition by status = 'loaded' order by finished_at)
            else finished_at
        end as ended_at
    from features.pipeline_runs
),
due as (
    select runs.run_id
    from features.pipeline_runs as runs
    inner join ended on runs.run_id = ended.run_id
    where
        ended.ended_at < clock_timestamp() - make_interval(days => %(keep_days)s)
        and not exists (
            select from features.latest_data_issues as issues where issues.run_id = runs.run_id
        )
        and not exists (
            select from features.latest_data_issues as issues where issues.found_by = runs.run_id
        )
    for update of runs
),
deleted as (
    delete from features.pipeline_runs as runs
    using due
    where runs.run_id = due.run_id
    returning runs.run_id
)
select
    (select count(*) from due) as due,
    (select count(*) from deleted) as deleted
