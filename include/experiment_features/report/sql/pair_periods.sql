-- Rows that a load has changed, before and after. Grain: that of the relation. Values: run_id;
-- loaded_at, when its periods began; table_name. What it changed or removed has a period that ended
-- then, and what it changed or added one that began then.
select
    touched.id,
    case when before.{key} is null then 'new' when after.{key} is null then 'gone' else 'changed' end as kind,
    {pair}
from ({ids}) as touched
left join lateral (
    select *
    from {past}
    where {key} = touched.id and valid_from < %(loaded_at)s
    order by valid_from desc
    limit 1
) as before on before.valid_to = %(loaded_at)s
left join lateral (
    select *
    from ({periods}) as begun
    where begun.{key} = touched.id and begun.valid_from = %(loaded_at)s
    limit 1 -- looks into the past only for those who have changed again since
) as after on true
