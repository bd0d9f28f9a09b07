-- How one feature would change. Grain: user with any change; columns: user_id; feature; before and
-- after, as JSON; is_average; is_update.
select
    {key} as user_id,
    {name} as feature,
    to_jsonb(current.{feature}) as before,
    to_jsonb(staged.{feature}) as after,
    {is_average} as is_average,
    changed.is_known and changed.is_staged as is_update
from {changed} as changed
left join {relation} as current using ({key})
left join {staged} as staged using ({key})
