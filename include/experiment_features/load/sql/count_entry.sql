-- Whether the ledger has the entry of a run with these values. Grain: one row: 1, or 0.
-- Values: one per column.
select count(*)
from features.pipeline_runs
where run_id = %(run_id)s and ({columns}) is not distinct from ({values})
