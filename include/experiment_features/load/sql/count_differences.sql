-- How many rows of a relation are not as a load wrote them: like the staged rows, and with its run and
-- its time where they were inserted or updated. Grain: one row. Values: run_id, loaded_at.
select count(*)
from {staged} as staged
full join {known} as current using ({key})
left join {changed} as changed using ({key})
where
    staged.{key} is null
    or current.{key} is null
    or ({current_columns}) is distinct from ({staged_columns})
    or (
        changed.is_staged
        and (current.run_id, current.updated_at) is distinct from (%(run_id)s, %(loaded_at)s)
    )
