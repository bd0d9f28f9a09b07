-- The drops of the latest runs, each with the last run that had something to do, the latest first; a
-- restore reads no drop. Grain: drop. Values: rows (how many runs are looked at); taken (JSON, the
-- announced drops by run_id: a run that ended early has not entered its source).
with latest as (
    select
        coalesce("left"(source, 500), %(taken)s::jsonb ->> run_id) as source,
        run_id,
        status,
        parameters ->> 'mode' as mode,
        started_at
    from features.pipeline_runs
    where
        status <> 'skipped'
        and parameters ->> 'restored_run' is null
    order by
        started_at desc,
        run_id desc
    limit %(rows)s
),

drops as (
    select distinct on (source) *
    from latest
    where source is not null
    order by
        source,
        started_at desc,
        run_id desc
)

select
    source,
    run_id,
    status,
    mode,
    started_at
from drops
order by
    started_at desc,
    run_id desc
