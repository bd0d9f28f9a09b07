-- Waits until no other session names or removes parts; held until the transaction ends. Only
-- users who may write to part_store can take it; those who only read must not remove parts.
with part_store as materialized (select from features.part_store for no key update)
select pg_advisory_xact_lock(hashtext('experiment_features.store')), (select count(*) from part_store)
