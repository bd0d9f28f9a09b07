-- One file of users, typed. Grain: one row per row of the file, in no order; key: position.
-- fault, line: why the row could not be taken apart, and its text; its cells are then NULL.
copy (
    with cut as (
        select
            position,
            fault,
            line,
            has_nul,
            nullif(cells[$user_id], '') as user_id,
            nullif(cells[$name], '') as name,
            nullif(cells[$email], '') as email,
            nullif(cells[$signup_date], '') as signup_date
        from taken_apart($delimiter, $width)
    ),
    cast_cells as (
        select *, try_cast(user_id as bigint) as cast_user_id from cut
    )
    select
        position,
        fault,
        line,
        has_nul,
        integer_value(user_id, cast_user_id) as user_id,
        integer_text(user_id, cast_user_id) as user_id_text,
        name,
        email,
        date_value(signup_date) as signup_date,
        date_text(signup_date) as signup_date_text
    from cast_cells
) to $target (format parquet)
