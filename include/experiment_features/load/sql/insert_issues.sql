-- Adds issues that were staged. Grain: issue.
insert into features.data_issues ({columns})
select {columns}
from {staged}
