-- The rows that are new, changed or no longer in the drop; all statements that change the relation
-- use this comparison, of all rows or of those that were computed again (known). Grain: that of the
-- relation; columns: its key, is_staged, is_known, is_renamed (its name is another one); size and
-- relative_size, by which the largest changes are found: see feature_changes.py.
create temporary table {changed} on commit drop as
select
    {key},
    staged.{key} is not null as is_staged,
    current.{key} is not null as is_known,
    current.{name} is distinct from staged.{name} as is_renamed,
    abs(coalesce(staged.total_experiments, 0) - coalesce(current.total_experiments, 0)) as size,
    case
        when staged.{key} is null or current.{key} is null then 0
        else {relative_size}
    end as relative_size
from {staged} as staged
full join {known} as current using ({key})
where
    staged.{key} is null
    or current.{key} is null
    or ({current_columns}) is distinct from ({staged_columns})
