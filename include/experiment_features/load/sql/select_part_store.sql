-- The name of this database in the store of parts. Grain: one row; none if it was removed by hand.
-- location: where the store was when it was last used, or null; is_here: whether the name was given to
-- this database, and not to one of which this is a copy.
select
    database_id::text,
    location,
    system_identifier = (pg_control_system()).system_identifier
    and database_oid = (select oid::bigint from pg_database where datname = current_database())
        as is_here
from features.part_store
