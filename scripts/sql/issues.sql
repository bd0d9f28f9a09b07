-- The issues of the last load, without the values, which this role may not read. Grain: issue.
select
    severity,
    table_name,
    file_name,
    line_number,
    rule,
    column_name,
    message
from features.latest_data_issues
order by table_name, file_name, line_number, rule;
