-- DuckDB: the issues of a workspace for a person to read. Grain: table and rule.
-- examples: the file, line and value of the first three places.
select
    severity,
    table_name,
    rule,
    message,
    count(*) as issues,
    list(
        struct_pack(file := file_name, line := line_number, "value" := left(value, 100))
        order by file_name, line_number
    )[:3] as examples
from issues
group by severity, table_name, rule, message
order by severity, issues desc, table_name, rule
