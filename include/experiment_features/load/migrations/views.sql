-- The views and functions of the schema, composed from definitions.py and recreated when this text
-- changes. A view only gains columns, at its end, so that whatever users have built on it stays.

create or replace function features.user_features_as_of(moment timestamptz)
returns setof features.user_features_history
language sql stable parallel safe
begin atomic
    -- Not from the view: there, a current period ends at null, so no index on valid_to helps.
    -- From now on, the features are the current ones, even if they were loaded when the clock was
    -- ahead, so that their periods only begin later.
    select {history_columns}
    from (
        select {features}, run_id, valid_from, valid_to
        from features.user_features_past
        where valid_from <= moment and moment < valid_to and moment < now()
        union all
        select {features}, run_id, updated_at, null
        from features.user_features
        where updated_at <= moment or moment >= now()
    ) as periods;
end;
comment on function features.user_features_as_of is 'Grain: user. The features as they stood then.';

create or replace view features.user_feature_report as
select {report_columns}
from features.user_features
left join (
    select average_experiments_per_user
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
) as last_load on true;
comment on view features.user_feature_report is
    'Grain: user. The features beside the average of the last loaded run.';

create or replace view features.latest_data_issues as
select {issue_columns}
from features.data_issues
where closed_by is null;
comment on view features.latest_data_issues is
    'Grain: one issue of one row that holds after the last load.'
