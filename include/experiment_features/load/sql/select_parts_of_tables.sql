-- What the tables that the revisions make consist of. Grain: table, its persistence, column,
-- constraint, index beside those of the constraints, or trigger, with a hash of its function;
-- columns: kind and description. On one version of PostgreSQL, two schemas with equal rows are
-- equal.
with tables as (
    select
        oid,
        relname,
        relpersistence
    from pg_class
    where
        relnamespace = 'features'::regnamespace
        and relkind in ('r', 'p')
        and relname <> 'schema_version' -- Alembic's own
)

select
    'table' as kind,
    relname::text as part
from tables
union all
select
    'persistence',
    concat_ws(' ', relname, case relpersistence when 'u' then 'unlogged' else 'logged' end)
from tables
union all
select
    'column',
    concat_ws(
        ' ', tables.relname || '.' || columns.attname, format_type(columns.atttypid, columns.atttypmod),
        case when columns.attnotnull then 'not null' end,
        case
            when columns.attidentity <> '' then 'generated as identity'
            when columns.attgenerated <> '' then 'generated as'
            when defaults.oid is not null then 'default'
        end,
        pg_get_expr(defaults.adbin, defaults.adrelid)
    )
from tables
inner join pg_attribute as columns on tables.oid = columns.attrelid
left join pg_attrdef as defaults
    on columns.attrelid = defaults.adrelid and columns.attnum = defaults.adnum
where columns.attnum > 0 and not columns.attisdropped
union all
select
    'constraint',
    regexp_replace(
        concat(
            tables.relname, '.', constraints.conname, ' ', pg_get_constraintdef(constraints.oid),
            case
                when exists (
                    select from pg_trigger where tgconstraint = constraints.oid and tgenabled <> 'O'
                )
                    then ' not enabled'
            end
        ),
        '\s+', ' ', 'g'
    )
from tables
inner join pg_constraint as constraints on tables.oid = constraints.conrelid
where constraints.contype <> 'n' -- "not null", since version 18: said by the column
union all
select
    'index',
    regexp_replace(pg_get_indexdef(indexes.indexrelid), '^CREATE (UNIQUE )?INDEX ', '\1')
from tables
inner join pg_index as indexes on tables.oid = indexes.indrelid
where not exists (select from pg_constraint where conindid = indexes.indexrelid)
union all
select
    'trigger',
    concat_ws(
        ' ', pg_get_triggerdef(triggers.oid), md5(pg_get_functiondef(triggers.tgfoid)),
        case when triggers.tgenabled <> 'O' then 'not enabled' end
    )
from tables
inner join pg_trigger as triggers on tables.oid = triggers.tgrelid
where not triggers.tgisinternal
