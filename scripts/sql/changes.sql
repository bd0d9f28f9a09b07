-- What the last load changed. Grain: user and feature whose value differs; before is null for a new
-- user, after for one that is gone. All periods that a load ends or begins do so at one moment: after
-- the load before it, and after the start of its own run.
with loads as (
    select
        greatest(started_at, lead(finished_at) over (order by finished_at desc)) as since,
        finished_at
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
),
cells as (
    select
        history.user_id,
        cell.feature,
        cell.value,
        cell.position,
        history.valid_from > loads.since and history.valid_from <= loads.finished_at as is_begun,
        history.valid_to > loads.since and history.valid_to <= loads.finished_at as is_ended
    from loads
    inner join features.user_features_history as history
        on history.valid_from > loads.since or history.valid_to > loads.since
    cross join lateral json_each_text(to_json(history)) with ordinality as cell (feature, value, position)
    where cell.feature not in ('user_id', 'run_id', 'valid_from', 'valid_to')
),
changes as (
    select
        user_id,
        feature,
        position,
        max(value) filter (where is_ended) as before,
        max(value) filter (where is_begun) as after
    from cells
    where is_begun or is_ended
    group by user_id, feature, position
)
select
    user_id,
    feature,
    before,
    after
from changes
where before is distinct from after
order by user_id, position;
