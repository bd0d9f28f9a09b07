-- The rows that a load has changed, before and after. Grain: that of the relation. Values: run_id;
-- loaded_at, when its periods began; table_name; kind, or null for all. A row that it changed or
-- removed has a period that ended then; the ids of those that it added were kept.
select
    before.{key} as id,
    case when after.{key} is null then 'gone' else 'changed' end as kind,
    {pair}
from {past} as before
left join lateral (
    select *
    from ({periods}) as begun
    where begun.{key} = before.{key} and begun.valid_from = %(loaded_at)s
    limit 1 -- looks into the past only for those who have changed again since
) as after on true
where
    before.valid_to = %(loaded_at)s
    and (%(kind)s::text is null or %(kind)s <> 'new')
union all
select
    added.id,
    'new',
    {pair}
from features.load_changes
cross join unnest(load_changes.inserted_ids) as added (id)
left join {past} as before on false
cross join lateral (
    select *
    from ({periods}) as begun
    where begun.{key} = added.id and begun.valid_from = %(loaded_at)s
    limit 1
) as after
where
    load_changes.run_id = %(run_id)s
    and load_changes.table_name = %(table_name)s
    and (%(kind)s::text is null or %(kind)s = 'new')
