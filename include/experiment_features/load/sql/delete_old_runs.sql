-- Deletes runs that ended, and loads that were replaced, so many days ago or earlier; never the last
-- load, nor a run that an open issue names. Grain: run. Value: keep_days.
with ended as (
    select
        run_id,
        case -- as in select_needed_parts.sql
            when status = 'loaded'
                then lead(finished_at) over (partition by status = 'loaded' order by finished_at)
            else finished_at
        end as ended_at
    from features.pipeline_runs
)

delete from features.pipeline_runs as runs
using ended
where
    ended.run_id = runs.run_id
    and ended.ended_at < clock_timestamp() - make_interval(days => %(keep_days)s)
    and not exists (
        select from features.latest_data_issues as issues where issues.run_id = runs.run_id
    )
    and not exists (
        select from features.latest_data_issues as issues where issues.found_by = runs.run_id
    )
