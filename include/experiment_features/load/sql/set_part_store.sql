-- Enters where the store of this database is; a copy gets a name of its own.
-- Values: location, or null to leave it as it is; is_renamed.
update features.part_store
set
    database_id = case when %(is_renamed)s then gen_random_uuid() else database_id end,
    location = coalesce(%(location)s, location),
    system_identifier = (pg_control_system()).system_identifier,
    database_oid = (select oid::bigint from pg_database where datname = current_database())
returning database_id::text
