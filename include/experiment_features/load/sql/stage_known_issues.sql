-- The open issues that the staged ones may replace: all, or those of the rows that were judged again,
-- of rows without a readable id, and of deletions. Grain: issue.
-- Values: is_whole, whether all rows were judged; tables, other than those of deletions.
create temporary table known_issues on commit drop as
select
    table_name,
    file_name,
    line_number,
    rule,
    run_id,
    severity,
    row_id,
    column_name,
    value
from features.latest_data_issues
where
    %(is_whole)s
    or row_id is null
    or table_name <> all(%(tables)s)
    or (table_name, row_id) in (
        select
            judged.table_name,
            judged.id
        from judged_ids as judged
    )
