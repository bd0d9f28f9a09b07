-- A user's periods, the latest first. Grain: period. Values: user_id, length of texts,
-- rows.
select
    valid_from,
    valid_to,
    {features},
    run_id
from features.user_features_history
where user_id = %(user_id)s
order by valid_from desc
limit %(rows)s
