-- Records how many rows a load has added, changed and removed, which it has added, and the largest
-- changes of each kind, in their order. Grain: one row. Values: run_id, table_name, listed.
insert into features.load_changes (
    run_id, table_name, inserted, updated, deleted, inserted_ids, largest_ids
)
select
    %(run_id)s,
    %(table_name)s,
    count(*) filter (where not is_known),
    count(*) filter (where is_known and is_staged),
    count(*) filter (where not is_staged),
    coalesce(array_agg({key}) filter (where not is_known), '{{}}'),
    array(
        (select {key} from {changed} where not is_known order by {keys} limit %(listed)s)
        union all
        (select {key} from {changed} where is_known and is_staged order by {keys} limit %(listed)s)
        union all
        (select {key} from {changed} where not is_staged order by {keys} limit %(listed)s)
    )
from {changed}
