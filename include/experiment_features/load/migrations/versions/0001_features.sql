-- Version 1: the tables. The schema `features` already exists, for Alembic's own table.

create table features.user_features (
    user_id bigint primary key,
    user_name text not null,
    total_experiments bigint not null,
    average_experiment_run_time double precision,
    average_compounds_per_experiment double precision,
    most_common_compound_id bigint,
    most_common_compound_name text,
    most_common_compound_experiments bigint,
    most_common_compound_ids bigint[],
    run_id text not null,
    updated_at timestamptz not null,
    constraint user_id_is_positive check (user_id > 0),
    constraint user_name_is_given check (user_name <> ''),
    constraint total_experiments_is_a_count check (total_experiments >= 0),
    constraint run_time_is_finite check (
        average_experiment_run_time >= 0 and average_experiment_run_time < 'infinity'
    ),
    constraint no_compounds_without_experiments check (
        case
            when total_experiments = 0 then
                num_nonnulls(
                    average_experiment_run_time, average_compounds_per_experiment,
                    most_common_compound_id, most_common_compound_name,
                    most_common_compound_experiments, most_common_compound_ids
                ) = 0
            else
                num_nulls(
                    average_compounds_per_experiment, most_common_compound_id,
                    most_common_compound_name, most_common_compound_experiments,
                    most_common_compound_ids
                ) = 0
        end
    ),
    constraint experiments_have_compounds check (average_compounds_per_experiment >= 1),
    constraint most_common_compound_was_used check (
        most_common_compound_experiments between 1 and total_experiments
    ),
    constraint lowest_tied_compound_is_chosen check (
        most_common_compound_ids[1] = most_common_compound_id
        and most_common_compound_id <= all (most_common_compound_ids)
    )
);
comment on table features.user_features is
    'Grain: user with a valid row in the last loaded drop. docs/features.md defines each column.';
comment on column features.user_features.updated_at is
    'When the row last changed, and so when its features began to hold.';

create table features.compound_features (
    compound_id bigint primary key,
    compound_name text not null,
    total_experiments bigint not null,
    total_users bigint not null,
    run_id text not null,
    updated_at timestamptz not null,
    constraint compound_id_is_positive check (compound_id > 0),
    constraint compound_name_is_given check (compound_name <> ''),
    constraint users_experimented check (total_users between 0 and total_experiments)
);
comment on table features.compound_features is
    'Grain: compound with a valid row in the last loaded drop.';

-- Past periods only: the current one is the row of user_features itself, so a load writes it once.
-- A range of one id stands for equality, for which GiST has no operator without an extension; the
-- range ends at the id because no bigint follows the greatest one.
create table features.user_features_past (
    user_id bigint not null,
    user_name text not null,
    total_experiments bigint not null,
    average_experiment_run_time double precision,
    average_compounds_per_experiment double precision,
    most_common_compound_id bigint,
    most_common_compound_name text,
    most_common_compound_experiments bigint,
    most_common_compound_ids bigint[],
    run_id text not null,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    primary key (user_id, valid_from),
    constraint period_is_not_empty check (valid_from < valid_to),
    constraint periods_do_not_overlap exclude using gist (
        int8range(user_id - 1, user_id) with &&,
        tstzrange(valid_from, valid_to) with &&
    )
);
-- For recent moments, which few past periods extend to.
create index user_features_past_by_end on features.user_features_past (valid_to);
comment on table features.user_features_past is
    'Grain: user and period that is over. Read user_features_history instead.';

create table features.pipeline_runs (
    run_id text primary key,
    trigger text not null,
    source text not null,
    source_files jsonb not null,
    parameters jsonb not null,
    engine text,
    definition_version integer not null,
    status text not null,
    users bigint,
    experiments bigint,
    compounds bigint,
    average_experiments_per_user double precision,
    rejected_rows bigint,
    warnings bigint,
    inserted bigint not null default 0,
    updated bigint not null default 0,
    deleted bigint not null default 0,
    unchanged bigint not null default 0,
    started_at timestamptz not null,
    finished_at timestamptz not null,
    constraint status_is_known check (status in ('loaded', 'unchanged', 'rejected')),
    constraint trigger_is_known check (
        trigger in ('scheduled', 'manual', 'api', 'asset', 'backfill', 'cli')
    ),
    constraint run_took_time check (started_at <= finished_at),
    constraint average_is_experiments_by_users check (
        users is null or users = 0
        or average_experiments_per_user = experiments::double precision / users
    )
);
create index pipeline_runs_by_time on features.pipeline_runs (finished_at desc, run_id);
create index pipeline_runs_loaded on features.pipeline_runs (finished_at desc) where status = 'loaded';
comment on table features.pipeline_runs is
    'Grain: run. inserted, updated, deleted and unchanged count rows of user_features.';

create table features.data_issues (
    run_id text not null references features.pipeline_runs on delete cascade,
    severity text not null,
    table_name text not null,
    file_name text not null,
    line_number bigint not null,
    rule text not null,
    column_name text,
    value text,
    message text not null,
    raw_row jsonb not null,
    primary key (run_id, table_name, file_name, line_number, rule),
    constraint severity_is_known check (severity in ('error', 'warning')),
    constraint lines_count_from_1 check (line_number >= 1)
);
comment on table features.data_issues is
    'Grain: one issue of one row of a drop. An error rejected the row, a warning did not.';
