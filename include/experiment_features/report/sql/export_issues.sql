-- A run's issues, in the order of the drop, for a download. Grain: issue. Values: run_id, except for
-- the last load; table_name, rule and file_name, which may be null.
select {columns}
from {issues}
where {is_of_run}
    and (%(table_name)s::text is null or table_name = %(table_name)s)
    and (%(rule)s::text is null or rule = %(rule)s)
    and (%(file_name)s::text is null or file_name = %(file_name)s)
order by {order}
