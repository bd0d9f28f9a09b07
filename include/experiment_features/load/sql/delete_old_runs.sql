-- Deletes old runs and with them their issues, but never the last load. Grain: run.
-- Value: keep_days.
delete from features.pipeline_runs
where
    finished_at < clock_timestamp() - make_interval(days => %(keep_days)s)
    and run_id is distinct from (
        select run_id
        from features.pipeline_runs
        where status = 'loaded'
        order by finished_at desc
        limit 1
    )
