-- Version 5: a number leads to its lines, and a run can be computed again.

alter table features.pipeline_runs
    add column parts jsonb not null default '[]',
    add column features_sha256 text,
    add column issues_sha256 text,
    add column code_version text,
    add column lock_sha256 text,
    add column python_version text,
    add column engine_version text;
comment on column features.pipeline_runs.parts is
    'The layers of parts that the run was computed from, the first at the bottom. Empty in runs of before version 5.';
comment on column features.pipeline_runs.features_sha256 is
    'The digest of the features of users and compounds: see docs/operations.md.';
comment on column features.pipeline_runs.issues_sha256 is
    'The digest of the issues that hold after the load.';
comment on column features.pipeline_runs.code_version is 'The commit of the code that computed it.';
comment on column features.pipeline_runs.lock_sha256 is
    'The sha256 of requirements.txt, which locks the version of every library.';

-- Which database this is, to the store of parts. A copy of the database finds itself on another
-- server, or under another oid there.
create table features.part_store (
    database_id uuid not null default gen_random_uuid(),
    system_identifier bigint not null default (pg_control_system()).system_identifier,
    database_oid bigint not null,
    location text,
    is_only_row boolean primary key default true,
    constraint there_is_one_row check (is_only_row)
);
comment on table features.part_store is
    'Grain: one row. The name of this database in the store of parts, where it was given, and where the store is.';

-- Issues: stored once, and closed by the load after which they no longer hold.
alter table features.data_issues
    add column row_id bigint,
    add column found_by text,
    add column closed_by text references features.pipeline_runs on delete cascade,
    drop constraint data_issues_run_id_fkey;
update features.data_issues as issues
set
    found_by = issues.run_id,
    closed_by = runs.closed_by
from (
    select
        run_id,
        case
            when status = 'loaded'
                then lead(run_id) over (partition by status = 'loaded' order by finished_at)
            else run_id
        end as closed_by
    from features.pipeline_runs
) as runs
where runs.run_id = issues.run_id;
alter table features.data_issues
    alter column found_by set not null,
    drop constraint data_issues_pkey,
    add primary key (found_by, table_name, file_name, line_number, rule, run_id);
create index data_issues_by_closing on features.data_issues (closed_by) where closed_by is not null;
-- Only of the issues that hold may there be so many that a page needs an index for each filter.
create index open_issues_by_place
on features.data_issues (table_name, file_name, line_number, rule) where closed_by is null;
create index open_issues_by_rule
on features.data_issues (table_name, rule, file_name, line_number) include (severity)
where closed_by is null;
drop index features.data_issues_by_rule;
comment on table features.data_issues is
    'Grain: one issue of one row. An error rejected the row, a warning did not.';
comment on column features.data_issues.run_id is 'The run whose drop brought the row.';
comment on column features.data_issues.row_id is
    'The id of the row; null if it is not readable, and in issues of before version 5.';
comment on column features.data_issues.found_by is 'The run that found the issue.';
comment on column features.data_issues.closed_by is
    'The load after which it no longer held; null while it holds. Of a run that did not load, that run.';

-- Without the exclusion constraint of user_features_past, which costs more than all the rest: nearly
-- every compound changes in every load. A load begins periods after the end of any earlier load.
create table features.compound_features_past (
    compound_id bigint not null,
    compound_name text not null,
    total_experiments bigint not null,
    total_users bigint not null,
    run_id text not null,
    valid_from timestamptz not null,
    valid_to timestamptz not null,
    primary key (compound_id, valid_from),
    constraint period_is_not_empty check (valid_from < valid_to)
);
comment on table features.compound_features_past is
    'Grain: compound and period that is over. Read compound_features_history instead.';
