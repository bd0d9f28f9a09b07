-- A page of what a held run would have removed, most experiments first. Grain: user or compound.
-- Values: run_id; table_name; kind and feature, which may be null; length of texts; rows, null for
-- all; cursor_size and cursor_id, null for the first page.
select
    id,
    {shown_name} as name,
    'gone' as kind,
    'total_experiments' as feature,
    total_experiments as size,
    0::float8 as relative_size,
    total_experiments as before,
    null as after
from features.held_changes
where
    run_id = %(run_id)s
    and table_name = %(table_name)s
    and coalesce(%(kind)s::text, 'gone') = 'gone'
    and coalesce(%(feature)s::text, 'total_experiments') = 'total_experiments'
    and (
        %(cursor_size)s::bigint is null
        or ({keys}) {beyond} (-%(cursor_size)s::bigint, %(cursor_id)s::bigint)
    )
order by {order}
limit %(rows)s::bigint
