-- The users whose most common compound is one of some. Grain: user. Value: compound_ids.
select user_id
from features.user_features
where most_common_compound_id = any(%(compound_ids)s)
