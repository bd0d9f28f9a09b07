-- Deletes runs that ended, and loads that were replaced, so many days ago or earlier; never the last
-- load, nor a run whose drop is in force or that an open issue names. Grain: one row; columns: how
-- many runs had to be deleted, and were. Value: keep_days.
with last_load as (
    select
        parts,
        base_run_id
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
),
in_force as (
    select layer ->> 'run_id' as run_id
    from
        last_load,
        jsonb_array_elements(last_load.parts) as layer
    union all
    select base_run_id
    from last_load
    where base_run_id is not null
),
ended as (
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
        and runs.run_id not in (select in_force.run_id from in_force)
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
