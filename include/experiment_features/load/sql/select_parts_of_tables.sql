-- What the tables of the schema consist of. Grain: column, constraint, or index beside those of the
-- constraints. Two schemas with equal rows are equal, on one version of PostgreSQL.
with tables as (
    select
        oid,
        relname::text as table_name
    from pg_class
    where relnamespace = 'features'::regnamespace and relkind in ('r', 'p')
)

select
    tables.table_name,
    'column ' || columns.attname || ' ' || format_type(columns.atttypid, columns.atttypmod)
    || case when columns.attnotnull then ' not null' else '' end as part
from tables
inner join pg_attribute as columns on tables.oid = columns.attrelid
where columns.attnum > 0 and not columns.attisdropped
union all
select
    tables.table_name,
    'constraint ' || constraints.conname || ' ' || pg_get_constraintdef(constraints.oid)
from tables
inner join pg_constraint as constraints on tables.oid = constraints.conrelid
where constraints.contype <> 'n' -- "not null", since version 18: said by the column
union all
select
    tables.table_name,
    pg_get_indexdef(indexes.indexrelid)
from tables
inner join pg_index as indexes on tables.oid = indexes.indrelid
where not exists (select from pg_constraint where conindid = indexes.indexrelid)
