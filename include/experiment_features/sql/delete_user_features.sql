-- Removes the users that the drop no longer has. Grain: user.
delete from features.user_features as current
where not exists (
    select from staged_user_features as staged where staged.user_id = current.user_id
)
