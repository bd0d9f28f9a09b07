-- Records how many rows a load has added, changed and removed, and which it has added. Grain: one row.
-- Values: run_id, table_name.
insert into features.load_changes (run_id, table_name, inserted, updated, deleted, inserted_ids)
select
    %(run_id)s,
    %(table_name)s,
    count(*) filter (where not is_known),
    count(*) filter (where is_known and is_staged),
    count(*) filter (where not is_staged),
    coalesce(array_agg({key}) filter (where not is_known), '{{}}')
from {changed}
