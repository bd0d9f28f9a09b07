-- The features at a moment.

create or replace function features.user_features_as_of(moment timestamptz)
returns setof features.user_features_history
language sql stable parallel safe
begin atomic
    -- Not from the view: there, a current period ends at null, so no index on valid_to helps.
    -- From now on, the features are the current ones, even if they were loaded when the clock was
    -- ahead, so that their periods only begin later.
    select {history_columns}
    from (
        select {features}, run_id, valid_from, valid_to
        from features.user_features_past
        where valid_from <= moment and moment < valid_to and moment < now()
        union all
        select {features}, run_id, updated_at, null
        from features.user_features
        where updated_at <= moment or moment >= now()
    ) as periods;
end;
comment on function features.user_features_as_of(timestamptz) is
    'Grain: user. The features as they stood then.'
