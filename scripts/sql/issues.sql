-- The issues of the last load, without the values, which this role may not read. Grain: issue.
select
    severity,
    table_name,
    file_name,
    line_number,
    rule,
    column_name,
    message
from features.data_issues
where run_id = (
    select run_id
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
)
order by table_name, file_name, line_number, rule;
