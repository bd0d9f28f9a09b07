-- The same lock as in take_load_lock.sql, held until the session ends.
select pg_advisory_lock(hashtext('experiment_features.load'))
