-- One file of compounds, typed. Grain: one row per row of the file, in no order; key: position.
-- fault, line: why the row could not be taken apart, and its text; its cells are then NULL.
copy (
    with cut as (
        select
            position,
            fault,
            line,
            has_nul,
            nullif(cells[$compound_id], '') as compound_id,
            nullif(cells[$compound_name], '') as compound_name,
            nullif(cells[$compound_structure], '') as compound_structure
        from taken_apart($delimiter, $width)
    ),
    cast_cells as (
        select *, try_cast(compound_id as bigint) as cast_compound_id from cut
    )
    select
        position,
        fault,
        line,
        has_nul,
        integer_value(compound_id, cast_compound_id) as compound_id,
        integer_text(compound_id, cast_compound_id) as compound_id_text,
        compound_name,
        compound_structure
    from cast_cells
) to $target (format parquet)
