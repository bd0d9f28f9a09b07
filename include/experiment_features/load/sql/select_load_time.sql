-- When this load's periods begin: now, but always after the end of any earlier load, of any run that
-- found it unchanged, and the begin of any period in force, even if the clock was set back or the
-- features were changed by hand.
-- Runs under the load lock, so that no other load can come in between.
-- The ends of compounds' past periods have no index, and nothing that they could violate.
select greatest(clock_timestamp(), max(latest) + interval '1 microsecond')
from (
    select max(finished_at) as latest
    from features.pipeline_runs
    where status in ('loaded', 'unchanged')
    union all
    select max(updated_at) from features.user_features
    union all
    select max(updated_at) from features.compound_features
    union all
    select max(valid_to) from features.user_features_past
) as earlier
