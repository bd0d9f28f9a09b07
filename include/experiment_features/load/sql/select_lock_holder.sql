-- Who holds the load lock, in words. Grain: at most one session. When its transaction began is seen
-- only by a session of the same user.
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
