-- Each role may do only what it needs: rows of the history, for example, can only be added.

revoke all on schema features from public;
grant usage on schema features to features_writer, features_reader;
-- For staging. Many administrators revoke it from public.
grant temporary on database {database} to features_writer;
grant select, insert, update, delete on
    features.user_features, features.compound_features, features.users_by_total_experiments
to features_writer;
grant select, insert on features.user_features_past, features.data_issues to features_writer;
grant select, insert, delete on features.pipeline_runs to features_writer;
grant select on features.schema_version, features.user_features_history, features.user_feature_report
to features_writer;
grant select on
    features.user_features, features.compound_features, features.users_by_total_experiments,
    features.user_features_past, features.pipeline_runs, features.user_features_history,
    features.user_feature_report
to features_reader;
grant select (
    run_id, severity, table_name, file_name, line_number, rule, column_name, message
) on features.data_issues to features_reader;
revoke execute on function features.user_features_as_of from public;
grant execute on function features.user_features_as_of to features_writer, features_reader
