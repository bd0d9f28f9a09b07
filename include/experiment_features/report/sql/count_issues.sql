-- The rules broken by the rows of a drop. Grain: table, rule and file. Values: run_id, except for
-- the last load; rows.
with counted as (
    select
        table_name,
        rule,
        file_name,
        min(severity) as severity,
        count(*) as issues
    from features.data_issues
    where {is_of_run}
    group by table_name, rule, file_name
    order by table_name, rule, file_name
    limit %(rows)s
)
select
    counted.*,
    example.message
from counted
cross join lateral (
    select message
    from features.data_issues
    where {is_of_run}
        and table_name = counted.table_name
        and rule = counted.rule
    limit 1
) as example
order by counted.severity, counted.issues desc, counted.table_name, counted.rule, counted.file_name
