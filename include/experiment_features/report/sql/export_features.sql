-- All users or compounds, for a download. Grain: that of the relation. Lists are text: their items,
-- separated by ;
select
    {features},
    run_id,
    updated_at
from {relation}
order by {key}
