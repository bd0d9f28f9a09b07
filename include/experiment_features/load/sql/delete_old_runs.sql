-- Deletes old runs, but never the last load, nor one that an open issue names. Grain: run.
-- Value: keep_days.
delete from features.pipeline_runs as runs
where
    finished_at < clock_timestamp() - make_interval(days => %(keep_days)s)
    and run_id is distinct from (
        select run_id
        from features.pipeline_runs
        where status = 'loaded'
        order by finished_at desc
        limit 1
    )
    and not exists (
        select from features.latest_data_issues as issues where issues.run_id = runs.run_id
    )
    and not exists (
        select from features.latest_data_issues as issues where issues.found_by = runs.run_id
    )
