-- Deletes the rows that are no longer in the drop. Grain: that of the relation.
delete from {relation} as current
using {changed} as changed
where current.{key} = changed.{key} and not changed.is_staged
