-- Waits until no other load or migration runs in this database; held until the transaction ends.
select pg_advisory_xact_lock(hashtext('experiment_features.load'))
