-- The features of a user or compound. Grain: at most one row. Values: id, length of texts.
select
    {features},
    run_id,
    updated_at
from {relation}
where {key} = %(id)s
