-- A user's features as they stood at a moment. Grain: at most one user. Values: user_id, moment.
select {features}
from features.user_features_as_of(%(moment)s)
where user_id = %(user_id)s
