-- One file of experiments, typed. Grain: one row per row of the file, in no order; key: position.
-- fault, line: why the row could not be taken apart, and its text; its cells are then NULL.
copy (
    with cut as (
        select
            position,
            fault,
            line,
            has_nul,
            nullif(cells[$experiment_id], '') as experiment_id,
            nullif(cells[$user_id], '') as user_id,
            nullif(cells[$experiment_compound_ids], '') as experiment_compound_ids,
            nullif(cells[$experiment_run_time], '') as experiment_run_time
        from taken_apart($delimiter, $width)
    ),
    cast_cells as (
        select
            *,
            try_cast(experiment_id as bigint) as cast_experiment_id,
            try_cast(user_id as bigint) as cast_user_id,
            case
                when is_plain_list(experiment_compound_ids)
                    then try_cast(string_split(experiment_compound_ids, ';') as bigint[])
            end as plain_list,
            try_cast(experiment_run_time as double) as cast_run_time,
            is_plain_number(experiment_run_time) as is_plain_run_time
        from cut
    ),
    compared as (
        select *, has_repeats(plain_list) as repeats from cast_cells
    )
    select
        position,
        fault,
        line,
        has_nul,
        integer_value(experiment_id, cast_experiment_id) as experiment_id,
        integer_text(experiment_id, cast_experiment_id) as experiment_id_text,
        integer_value(user_id, cast_user_id) as user_id,
        integer_text(user_id, cast_user_id) as user_id_text,
        integers_value(experiment_compound_ids, plain_list, repeats) as experiment_compound_ids,
        integers_text(experiment_compound_ids, repeats) as experiment_compound_ids_text,
        number_value(experiment_run_time, cast_run_time, is_plain_run_time) as experiment_run_time,
        number_text(experiment_run_time, is_plain_run_time) as experiment_run_time_text
    from compared
) to $target (format parquet)
