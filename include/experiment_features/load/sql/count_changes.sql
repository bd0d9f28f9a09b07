-- How many rows the comparison says are to be updated, deleted and inserted. Grain: one row.
select
    count(*) filter (where is_known and is_staged),
    count(*) filter (where not is_staged),
    count(*) filter (where not is_known)
from {changed}
