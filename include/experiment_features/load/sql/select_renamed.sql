-- The rows whose name a load changes. Grain: row of the relation that is new, renamed or gone; columns:
-- its key, the name before, the name after, of which one may be null. Of names only as much as
-- words_of looks at: many long ones would not fit into memory.
select
    {key},
    "left"(current.{name}, 1000),
    "left"(staged.{name}, 1000)
from {changed} as changed
left join {relation} as current using ({key})
left join {staged} as staged using ({key})
where changed.is_renamed
