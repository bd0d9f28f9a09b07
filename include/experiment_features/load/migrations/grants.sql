-- Each role may do only what it needs: rows of the history, for example, can only be added.

revoke all on schema features from public;
revoke execute on function features.user_features_as_of(timestamptz) from public;
grant usage on schema features to features_writer;
grant execute on function features.user_features_as_of(timestamptz) to features_writer;
-- For staging. Many administrators revoke it from public.
grant temporary on database {database} to features_writer;
grant select, insert, update, delete on
    features.user_features, features.compound_features, features.users_by_total_experiments,
    features.user_words, features.compound_words
to features_writer;
grant select, insert on
    features.user_features_past, features.compound_features_past, features.data_issues,
    features.held_changes, features.load_changes
to features_writer;
grant update (closed_by), delete on features.data_issues to features_writer;
grant select, insert, delete on features.pipeline_runs to features_writer;
grant update (
    status, source, parts, task, error, error_file, error_line, error_column, message, finished_at,
    state_hash
) on features.pipeline_runs to features_writer;
grant select, update (database_id, location, system_identifier, database_oid)
on features.part_store to features_writer;
grant select on
    features.schema_version, features.user_features_history, features.compound_features_history,
    features.user_feature_report, features.latest_data_issues, features.reported_issues
to features_writer;
do $$
declare
    who text;
begin
    for who in select rolname from pg_roles where rolname in ('features_reader', 'features_steward')
    loop
        execute format('grant usage on schema features to %I', who);
        execute format(
            'grant select on features.user_features, features.compound_features,
            features.users_by_total_experiments, features.user_words, features.compound_words,
            features.user_features_past,
            features.compound_features_past, features.held_changes, features.load_changes,
            features.user_features_history,
            features.compound_features_history, features.user_feature_report,
            features.reported_issues, features.part_store to %I', who
        );
        execute format('grant execute on function features.user_features_as_of(timestamptz) to %I', who);
        if who = 'features_steward' then
            grant select on
                features.pipeline_runs, features.data_issues, features.latest_data_issues
            to features_steward;
        end if;
    end loop;
end
$$;
-- Raw rows, values and the messages of errors, which may quote them, are for stewards only.
-- Columns that users have added are theirs to grant, to a role of theirs.
revoke select on features.pipeline_runs, features.data_issues, features.latest_data_issues
from features_reader, public;
grant select ({run_columns}) on features.pipeline_runs to features_reader;
grant select ({issue_columns})
on features.data_issues, features.latest_data_issues to features_reader
