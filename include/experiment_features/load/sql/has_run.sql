-- Whether the ledger has an entry for a run. Grain: one row. Value: run_id.
select exists(select from features.pipeline_runs where run_id = %(run_id)s)
