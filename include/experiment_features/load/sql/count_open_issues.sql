-- How many issues are open. Grain: one row.
select count(*)
from features.latest_data_issues
