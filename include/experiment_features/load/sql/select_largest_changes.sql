-- The largest changes of a plan. Grain: user and feature. Value: rows.
-- Of a user who comes or goes, only the number of experiments is listed.
select
    user_id,
    feature,
    before,
    after
from ({changes}) as changes
where
    before is distinct from after
    and (is_update or feature = 'total_experiments')
order by
    case
        when feature = 'total_experiments'
            then abs(coalesce(after::bigint, 0) - coalesce(before::bigint, 0))
        else 0
    end desc,
    case
        when is_average  -- infinite if there was none, or 0
            then coalesce(
                abs(after::float8 - before::float8) / nullif(before::float8, 0), 'infinity'
            )
        else 0
    end desc,
    user_id,
    feature
limit %(rows)s
