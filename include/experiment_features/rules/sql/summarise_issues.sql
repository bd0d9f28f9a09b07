-- DuckDB: the issues of a workspace for a person to read. Grain: table and rule.
-- examples: the first three places, with the value; what a terminal would obey is shown as a dot.
select
    severity,
    table_name,
    rule,
    message,
    count(*) as issues,
    list(
        file_name || ':' || line_number
        || coalesce(' ' || regexp_replace(left(value, 60), '[\x00-\x1f\x7f-\x9f]', '·', 'g'), '')
        order by file_name, line_number
    )[:3] as examples
from issues
group by severity, table_name, rule, message
order by severity, issues desc, table_name, rule
