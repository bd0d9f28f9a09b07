-- What is wrong with a drop, for people. Grain: fault of a row; key: table_name, file_name,
-- line_number, rule. raw_row: the cells as they were written, or the whole line where it could not
-- be taken apart. NUL, which PostgreSQL's text cannot hold, is shown as U+FFFD.
copy (
    with of_row as (
        select 'users' as table_name, *
        from (
            unpivot (from read_parquet($faults || '/users.parquet'))
            on columns(* exclude position) into name rule value holds
        )
        union all
        select 'compounds', *
        from (
            unpivot (from read_parquet($faults || '/compounds.parquet'))
            on columns(* exclude position) into name rule value holds
        )
        union all
        select 'user_experiments', *
        from (
            unpivot (from read_parquet($faults || '/user_experiments.parquet'))
            on columns(* exclude position) into name rule value holds
        )
    ),
    faults as (
        select table_name, position, rule from of_row where holds
        union all
        select string_split(filename, '/')[-2], position, parse_filename(filename, true)
        from read_parquet($faults || '/*/*.parquet', filename = true)
    ),
    written as (
        select
            'users' as table_name,
            position,
            replace(line, chr(0), '�') as line,
            json_object(
                'user_id', coalesce(replace(user_id_text, chr(0), '�'), user_id::varchar),
                'name', replace(name, chr(0), '�'),
                'email', replace(email, chr(0), '�'),
                'signup_date',
                coalesce(replace(signup_date_text, chr(0), '�'), signup_date::varchar)
            ) as cells
        from read_parquet($rows || '/users/*.parquet', union_by_name = true)
        where position in (select position from faults where table_name = 'users')
        union all
        select
            'compounds',
            position,
            replace(line, chr(0), '�'),
            json_object(
                'compound_id',
                coalesce(replace(compound_id_text, chr(0), '�'), compound_id::varchar),
                'compound_name', replace(compound_name, chr(0), '�'),
                'compound_structure', replace(compound_structure, chr(0), '�')
            )
        from read_parquet($rows || '/compounds/*.parquet', union_by_name = true)
        where position in (select position from faults where table_name = 'compounds')
        union all
        select
            'user_experiments',
            position,
            replace(line, chr(0), '�'),
            json_object(
                'experiment_id',
                coalesce(replace(experiment_id_text, chr(0), '�'), experiment_id::varchar),
                'user_id', coalesce(replace(user_id_text, chr(0), '�'), user_id::varchar),
                'experiment_compound_ids',
                coalesce(
                    replace(experiment_compound_ids_text, chr(0), '�'),
                    array_to_string(experiment_compound_ids, ';')
                ),
                'experiment_run_time',
                coalesce(
                    replace(experiment_run_time_text, chr(0), '�'),
                    case
                        when experiment_run_time = floor(experiment_run_time)
                            then experiment_run_time::bigint::varchar
                        else experiment_run_time::varchar
                    end
                )
            )
        from read_parquet($rows || '/user_experiments/*.parquet', union_by_name = true)
        where position in (select position from faults where table_name = 'user_experiments')
    ),
    raw_rows as (
        select
            table_name,
            position,
            case when line is null then cells else json_object('line', line) end as raw_row
        from written
    )
    select
        rules.severity,
        faults.table_name,
        files.file_name,
        faults.position % 1_000_000_000_000 as line_number,
        faults.rule,
        rules.column_name,
        json_extract_string(raw_rows.raw_row, rules.column_name) as value,
        rules.message,
        raw_rows.raw_row::varchar as raw_row
    from faults
    inner join rules using (table_name, rule)
    inner join raw_rows using (table_name, position)
    inner join files
        on faults.table_name = files.table_name
        and faults.position // 1_000_000_000_000 = files.file_number
    order by faults.table_name, faults.position, faults.rule
) to $target (format parquet)
