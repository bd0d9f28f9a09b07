-- The faulty rows of the drop that was rejected last (the first 1,000 of each file and rule are kept),
-- without the values, which this role may not read. Grain: issue.
select
    table_name,
    file_name,
    line_number,
    rule,
    column_name,
    message
from features.data_issues
where severity = 'error' and found_by = (
    select run_id
    from features.pipeline_runs
    where status = 'rejected'
    order by finished_at desc
    limit 1
)
order by table_name, file_name, line_number, rule;
