-- The periods of a user or compound, the latest first. Grain: period. Values: id, length of texts, rows.
select
    valid_from,
    valid_to,
    {features},
    run_id
from {history}
where {key} = %(id)s
order by valid_from desc
limit %(rows)s
