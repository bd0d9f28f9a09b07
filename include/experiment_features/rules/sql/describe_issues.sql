-- What is wrong with a drop, for people. Grain: fault of a row; key: table_name, file_name,
-- line_number, rule, run_id. run_id: whose drop brought the row; empty for the run in progress.
-- row_id: null without a readable one. raw_row: the cells as they were written, or the whole line
-- where it could not be split.
copy (
    select
        rules.severity,
        faults.table_name,
        raw_rows.row_id,
        files.file_name,
        line_of(faults.position) as line_number,
        faults.rule,
        rules.column_name,
        json_extract_string(raw_rows.raw_row, rules.column_name) as value,
        rules.message,
        files.run_id,
        raw_rows.raw_row::varchar as raw_row
    from faults
    inner join rules using (table_name, rule)
    inner join raw_rows using (table_name, position)
    inner join files
        on faults.table_name = files.table_name
        and file_number_of(faults.position) = files.file_number
    order by faults.table_name, faults.position, faults.rule
) to $target (format parquet, row_group_size_bytes 16_777_216)
