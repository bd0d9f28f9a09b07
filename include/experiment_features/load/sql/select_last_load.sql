-- The run whose features the database holds. Grain: at most one run.
select
    run_id,
    source,
    source_files,
    parameters,
    engine,
    definition_version,
    users,
    experiments,
    compounds,
    average_experiments_per_user,
    rejected_rows,
    warnings,
    inserted,
    updated,
    deleted,
    unchanged
from features.pipeline_runs
where status = 'loaded'
order by finished_at desc
limit 1
