-- The views, the function, the roles and the grants that revision 0001 created until 0003.

create view features.user_features_history as
select
    user_id,
    user_name,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    most_common_compound_id,
    most_common_compound_name,
    most_common_compound_experiments,
    most_common_compound_ids,
    valid_from,
    valid_to,
    run_id
from features.user_features_past
union all
select
    user_id,
    user_name,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    most_common_compound_id,
    most_common_compound_name,
    most_common_compound_experiments,
    most_common_compound_ids,
    updated_at,
    null,
    run_id
from features.user_features;
comment on view features.user_features_history is
    'Grain: user and period, [valid_from, valid_to); valid_to is null while the period lasts.';

create function features.user_features_as_of(moment timestamptz)
returns setof features.user_features_history
language sql stable parallel safe
begin atomic
    -- Not from the view: its null for "lasts" would keep indexes on valid_to from being used.
    select
        user_id,
        user_name,
        total_experiments,
        average_experiment_run_time,
        average_compounds_per_experiment,
        most_common_compound_id,
        most_common_compound_name,
        most_common_compound_experiments,
        most_common_compound_ids,
        valid_from,
        valid_to,
        run_id
    from features.user_features_past
    where valid_from <= moment and moment < valid_to
    union all
    select
        user_id,
        user_name,
        total_experiments,
        average_experiment_run_time,
        average_compounds_per_experiment,
        most_common_compound_id,
        most_common_compound_name,
        most_common_compound_experiments,
        most_common_compound_ids,
        updated_at,
        null,
        run_id
    from features.user_features
    where updated_at <= moment;
end;
comment on function features.user_features_as_of is 'Grain: user. The features as they stood then.';

create view features.user_feature_report as
select
    features.user_id,
    features.user_name,
    features.total_experiments,
    last_load.average_experiments_per_user,
    features.average_experiment_run_time,
    features.average_compounds_per_experiment,
    features.most_common_compound_id,
    features.most_common_compound_name,
    features.most_common_compound_experiments,
    features.most_common_compound_ids,
    features.run_id,
    features.updated_at
from features.user_features as features
left join (
    select average_experiments_per_user
    from features.pipeline_runs
    where status = 'loaded'
    order by finished_at desc
    limit 1
) as last_load on true;
comment on view features.user_feature_report is
    'Grain: user. The features beside the average of the last loaded run.';

-- Roles belong to the whole server: another database may have made them, even at this moment.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['features_writer', 'features_reader'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
            exception
                when duplicate_object or unique_violation then null;
            end;
        end if;
    end loop;
    -- For staging. Many administrators take it from public.
    execute format('grant temporary on database %I to features_writer', current_database());
end
$$;

-- What each role may do is all that it needs: history, for one, is only ever added to.
revoke all on schema features from public;
grant usage on schema features to features_writer, features_reader;
grant select, insert, update, delete on features.user_features, features.compound_features
to features_writer;
grant select, insert on features.user_features_past, features.data_issues to features_writer;
grant select, insert, delete on features.pipeline_runs to features_writer;
grant select on features.schema_version, features.user_features_history, features.user_feature_report
to features_writer;
grant select on
    features.user_features, features.compound_features, features.user_features_past,
    features.pipeline_runs, features.user_features_history, features.user_feature_report
to features_reader;
grant select (
    run_id, severity, table_name, file_name, line_number, rule, column_name, message
) on features.data_issues to features_reader;
revoke execute on function features.user_features_as_of from public;
grant execute on function features.user_features_as_of to features_writer, features_reader;
