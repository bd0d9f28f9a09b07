-- Records what a load leaves. Grain: run. Values: run_id, state_hash.
update features.pipeline_runs
set state_hash = %(state_hash)s
where run_id = %(run_id)s
