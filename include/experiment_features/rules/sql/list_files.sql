-- The files of the drops, for describe_issues.sql. Grain: file; key: table_name, file_number.
create temporary table files as
select
    unnest($tables) as table_name,
    unnest($numbers) as file_number,
    unnest($names) as file_name,
    unnest($run_ids) as run_id
