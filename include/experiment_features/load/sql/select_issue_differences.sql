-- The open issues that differ from the staged ones, all columns but found_by and closed_by compared.
-- Grain: issue; columns: id; then (in the database) and now (staged), as JSON, null if it is not there.
-- Value: rows.
with held as (
    select
        table_name,
        file_name,
        line_number,
        rule,
        run_id,
        -- The key has found_by as well, so an issue might be there twice.
        row_number() over (partition by table_name, file_name, line_number, rule, run_id) as number,
        to_jsonb(issues.*) - 'found_by' - 'closed_by' as issue
    from features.latest_data_issues as issues
),
staged as (
    select
        table_name,
        file_name,
        line_number,
        rule,
        run_id,
        1 as number,
        to_jsonb(issues.*) - 'found_by' - 'closed_by' as issue
    from staged_issues as issues
)
select
    format('%%s %%s:%%s %%s', run_id, file_name, line_number, rule) as id,
    held.issue as then,
    staged.issue as now
from held
full join staged using (table_name, file_name, line_number, rule, run_id, number)
where held.issue is distinct from staged.issue
order by table_name, file_name, line_number, rule, run_id
limit %(rows)s
