-- When this load's periods begin: now, but always after the end of any earlier load, even if the
-- clock was set back. Runs under the load lock, so that no other load can come in between.
select
    greatest(
        clock_timestamp(),
        (
            select max(finished_at) + interval '1 microsecond'
            from features.pipeline_runs
            where status = 'loaded'
        )
    )
