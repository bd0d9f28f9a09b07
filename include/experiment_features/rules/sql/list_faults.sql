-- The faults of a drop, for describe_issues.sql. Grain: fault of a row; key: table_name, position,
-- rule. $files: in every file, position and, per rule, whether the row breaks it.
-- $folder: has a folder per table with its files.
create temporary table faults as
select
    split_part(replace(filename, $folder || '/', ''), '/', 1) as table_name,
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
