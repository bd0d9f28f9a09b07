-- Removes the users that the drop no longer has. Grain: user.
delete from features.user_features as current
using changed_user_features as changed
where current.user_id = changed.user_id and not changed.is_staged
