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
before as (
    select history.user_id, cell.feature, cell.value, cell.position
    from loads
    inner join features.user_features_history as history
        on history.valid_to > loads.since and history.valid_to <= loads.finished_at
    cross join lateral json_each_text(to_json(history)) with ordinality as cell (feature, value, position)
),
after as (
    select history.user_id, cell.feature, cell.value, cell.position
    from loads
    inner join features.user_features_history as history
        on history.valid_from > loads.since and history.valid_from <= loads.finished_at
    cross join lateral json_each_text(to_json(history)) with ordinality as cell (feature, value, position)
)
select
    user_id,
    feature,
    before.value as before,
    after.value as after
from before
full join after using (user_id, feature, position)
where before.value is distinct from after.value
    and feature not in ('user_id', 'run_id', 'valid_from', 'valid_to')
order by user_id, position;
