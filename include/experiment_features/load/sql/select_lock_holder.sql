-- Describes the session that holds the load lock, or the strongest lock on a table of the schema.
-- Grain: at most one session. Value: is_load_lock. Only sessions of the same user can see when its
-- transaction began.
select
    '"' || activity.application_name || '", process ' || activity.pid
    || ', user ' || activity.usename
    || coalesce(
        ', since ' || date_trunc('second', activity.xact_start at time zone 'UTC') || ' UTC', ''
    )
    || coalesce(', with ' || locks.mode || ' on features.' || tables.relname, '')
from pg_locks as locks
inner join pg_stat_activity as activity on locks.pid = activity.pid
left join pg_class as tables
    on
        locks.relation = tables.oid
        and tables.relnamespace = (select oid from pg_namespace where nspname = 'features')
where
    locks.granted
    and locks.pid <> pg_backend_pid()
    and locks.database = (select oid from pg_database where datname = current_database())
    and case
        when %(is_load_lock)s then
            locks.locktype = 'advisory'
            and locks.objid = (hashtext('experiment_features.load')::bigint & 4294967295)::oid
        else tables.oid is not null
    end
order by
    array_position(
        array[
            'AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
            'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'
        ],
        locks.mode
    ),
    activity.xact_start
limit 1
