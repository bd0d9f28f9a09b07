-- Removes the rows that the drop no longer has. Grain: that of the relation.
delete from {relation} as current
using {changed} as changed
where current.{key} = changed.{key} and not changed.is_staged
