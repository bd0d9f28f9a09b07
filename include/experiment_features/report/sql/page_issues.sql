-- A page of a run's issues, in the order of the drop. Grain: issue. Values: run_id, except for the
-- last load; table_name, rule and file_name, which may be null; rows; cursor_ and the name of each
-- key, for the row next to the page, if there is one.
select
    {place},
    severity,
    message
from features.data_issues
where {is_of_run}
    and (%(table_name)s::text is null or table_name = %(table_name)s)
    and (%(rule)s::text is null or rule = %(rule)s)
    and (%(file_name)s::text is null or file_name = %(file_name)s)
    and {is_beyond}
order by {order}
limit %(rows)s
