-- Whether the latest run of which the drop came from a source, and is known, read a delta there; a
-- restore reads no drop. Grain: one row. Value: source.
select coalesce(
    (
        select mode = 'delta'
        from features.pipeline_runs
        where
            source = %(source)s
            and mode is not null
            and parameters ->> 'restored_run' is null
        order by started_at desc
        limit 1
    ),
    false
)
