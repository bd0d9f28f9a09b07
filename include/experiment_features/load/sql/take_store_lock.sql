-- Waits until no other session names or removes parts; held until the transaction ends.
select pg_advisory_xact_lock(hashtext('experiment_features.store'))
