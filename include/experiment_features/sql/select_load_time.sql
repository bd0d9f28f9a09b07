-- When this load's periods begin: now, and later than any period began, whatever the clock did.
-- Asked for under the load lock, so that no other load can come between.
select
    greatest(
        clock_timestamp(),
        (select max(updated_at) + interval '1 microsecond' from features.user_features),
        (select max(valid_to) + interval '1 microsecond' from features.user_features_past)
    )
