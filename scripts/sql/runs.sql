-- The last runs of the ledger, the latest first. Grain: run.
select
    run_id,
    trigger,
    triggered_by,
    status,
    task,
    error,
    given_source,
    source,
    engine,
    users,
    experiments,
    compounds,
    rejected_rows,
    warnings,
    inserted,
    updated,
    deleted,
    unchanged,
    started_at,
    finished_at
from features.pipeline_runs
order by started_at desc, run_id desc
limit 20;
