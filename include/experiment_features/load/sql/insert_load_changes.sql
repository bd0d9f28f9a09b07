-- Records how many rows a load has added, changed and removed, which it has added, and the largest
-- changes of each kind, in their order. Grain: one row. Values: run_id, table_name, inserted, updated,
-- deleted, listed. The limits spare a scan for what there is none of.
insert into features.load_changes (
    run_id, table_name, inserted, updated, deleted, inserted_ids, largest_ids
)
values (
    %(run_id)s,
    %(table_name)s,
    %(inserted)s,
    %(updated)s,
    %(deleted)s,
    array(select {key} from {changed} where not is_known limit %(inserted)s),
    array(
        (
            select {key}
            from {changed}
            where not is_known
            order by {keys}
            limit least(%(inserted)s, %(listed)s)
        )
        union all
        (
            select {key}
            from {changed}
            where is_known and is_staged
            order by {keys}
            limit least(%(updated)s, %(listed)s)
        )
        union all
        (
            select {key}
            from {changed}
            where not is_staged
            order by {keys}
            limit least(%(deleted)s, %(listed)s)
        )
    )
)
