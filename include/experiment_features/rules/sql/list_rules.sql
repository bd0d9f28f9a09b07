-- The rules, for describe_issues.sql. Grain: rule; key: table_name, rule.
create temporary table rules as
select
    unnest($tables) as table_name,
    unnest($rules) as rule,
    unnest($columns) as column_name,
    unnest($severities) as severity,
    unnest($messages) as message
