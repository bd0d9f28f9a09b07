-- The faults of a drop, for describe_issues.sql. Grain: fault of a row; key: table_name, position,
-- rule. $files: a folder per table; in every file, position and, per rule, whether the row breaks it.
create temporary table faults as
select
    parse_path(filename)[-2] as table_name,
    position,
    rule
from (
    unpivot (
        select *
        from read_parquet($files, union_by_name = true, filename = true, hive_partitioning = false)
    )
    on columns(* exclude (position, filename))
    into name rule value is_broken
)
where is_broken
