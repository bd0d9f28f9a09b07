-- The features beside the average of the last loaded run.

create or replace view features.user_feature_report as
select {columns}
from features.user_features
left join (
    select average_experiments_per_user
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
) as last_load on true;
comment on view features.user_feature_report is
    'Grain: user. The features beside the average of the last loaded run.'
