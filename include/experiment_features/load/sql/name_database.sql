-- Names this database in the store of parts, unless it has a name. Grain: one row.
insert into features.part_store (database_oid)
select oid::bigint
from pg_database
where datname = current_database()
on conflict do nothing
