-- How many issues hold by rule, once those are merged that changed. Grain: rule of a table.
select
    table_name || '.' || rule as rule,
    sum(issues)::bigint as issues
from (
    select
        table_name,
        rule,
        count(*) as issues
    from features.latest_data_issues
    group by table_name, rule
    union all
    select
        table_name,
        rule,
        sum(case when is_staged then 1 else -1 end)
    from changed_issues
    group by table_name, rule
) as counted
group by table_name, rule
having sum(issues) > 0
