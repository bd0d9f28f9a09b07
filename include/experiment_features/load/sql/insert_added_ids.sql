-- Records which rows a load has added. Grain: load; none if it has added none. Values: run_id,
-- table_name.
insert into features.added_ids (run_id, table_name, ids)
select
    %(run_id)s,
    %(table_name)s,
    array_agg({key})
from {changed}
where not is_known
having count(*) > 0
