-- The number of the attempt in which a run is now. Grain: one row. Value: run_id.
-- The entry of an attempt that loaded is never replaced, so the next one has the next number; the
-- first is entered as <run_id>, the others as <run_id>/2, <run_id>/3 and so on.
select coalesce(max(attempt), 0) + 1
from (
    select
        case
            when run_id = %(run_id)s then 1
            when substr(run_id, length(%(run_id)s) + 2) ~ '^[0-9]{1,9}$'
                then substr(run_id, length(%(run_id)s) + 2)::integer
        end as attempt
    from features.pipeline_runs
    where status = 'loaded' and (run_id = %(run_id)s or starts_with(run_id, %(run_id)s || '/'))
) as loads
