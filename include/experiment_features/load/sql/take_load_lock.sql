-- Waits until no other load or migration of this database runs; held until the transaction ends.
select pg_advisory_xact_lock(hashtext('experiment_features.load'))
