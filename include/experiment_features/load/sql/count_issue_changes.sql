-- How many issues no longer hold, and how many are new. Grain: one row.
select
    count(*) filter (where not is_staged) as closed,
    count(*) filter (where is_staged) as found
from changed_issues
