-- Adds the issues that are new; those that held before stay as they are. Grain: issue.
insert into features.data_issues ({columns})
select {columns}
from staged_issues
inner join changed_issues using (table_name, file_name, line_number, rule, run_id)
where is_staged
