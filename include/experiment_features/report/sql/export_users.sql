-- All users, for a download. Grain: user. Lists are text: their items, separated by ;
select
    {features},
    run_id,
    updated_at
from features.user_features
order by user_id
