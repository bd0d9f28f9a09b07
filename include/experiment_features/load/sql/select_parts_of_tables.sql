-- What the tables that the revisions make consist of. Grain: table, column, constraint, or index beside those
-- of the constraints; columns: kind and description. On one version of PostgreSQL, two schemas with
-- equal rows are equal.
with tables as (
    select
        oid,
        relname
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
    'column',
    concat_ws(
        ' ', tables.relname || '.' || columns.attname, format_type(columns.atttypid, columns.atttypmod),
        case when columns.attnotnull then 'not null' end
    )
from tables
inner join pg_attribute as columns on tables.oid = columns.attrelid
where columns.attnum > 0 and not columns.attisdropped
union all
select
    'constraint',
    regexp_replace(
        concat(tables.relname, '.', constraints.conname, ' ', pg_get_constraintdef(constraints.oid)),
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
