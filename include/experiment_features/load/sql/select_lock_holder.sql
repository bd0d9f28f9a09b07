-- Describes the session that holds the load lock. Grain: at most one session. Only sessions of the
-- same user can see when its transaction began.
select
    '"' || activity.application_name || '", process ' || activity.pid
    || ', user ' || activity.usename
    || coalesce(
        ', since ' || date_trunc('second', activity.xact_start at time zone 'UTC') || ' UTC', ''
    )
from pg_locks as locks
inner join pg_stat_activity as activity on locks.pid = activity.pid
where
    locks.locktype = 'advisory'
    and locks.granted
    and locks.database = (select oid from pg_database where datname = current_database())
    and locks.objid = (hashtext('experiment_features.load')::bigint & 4294967295)::oid
limit 1
