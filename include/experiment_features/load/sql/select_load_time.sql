-- When this load's periods begin: now, and later than any earlier load ended, whatever the clock
-- did. Asked for under the load lock, so that no other load can come between.
select
    greatest(
        clock_timestamp(),
        (
            select max(finished_at) + interval '1 microsecond'
            from features.pipeline_runs
            where status = 'loaded'
        )
    )
