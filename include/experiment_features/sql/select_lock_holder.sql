-- Who holds the load lock. Grain: at most one session; pid, user, when its transaction began.
select activity.pid, activity.usename, activity.xact_start
from pg_locks as locks
inner join pg_stat_activity as activity on locks.pid = activity.pid
where
    locks.locktype = 'advisory'
    and locks.granted
    and locks.database = (select oid from pg_database where datname = current_database())
    and locks.objid = (hashtext('experiment_features.load')::bigint & 4294967295)::oid
limit 1
