-- Version 4: every run that began is in the ledger, and says how it ended.

alter table features.pipeline_runs
    add column triggered_by text,
    add column given_source text,
    add column task text,
    add column error text,
    add column error_file text,
    add column error_line bigint,
    add column error_column text,
    add column message text,
    add column notices text[] not null default '{}',
    add column average_run_time double precision,
    alter column source drop not null,
    alter column source_files set default '[]',
    alter column finished_at drop not null,
    drop constraint status_is_known,
    add constraint status_is_known check (
        status in (
            'running', 'loaded', 'unchanged', 'rejected', 'held', 'refused', 'failed', 'skipped'
        )
    ),
    add constraint only_running_runs_have_no_end check ((finished_at is null) = (status = 'running')),
    add constraint loads_have_a_source check (
        source is not null or status not in ('loaded', 'unchanged')
    );
comment on column features.pipeline_runs.given_source is
    'The source as it was asked for; empty for the drop that the run found by itself. Null in runs of before version 4.';
comment on column features.pipeline_runs.source is
    'The folder of the drop; null if the run ended before it was known.';
comment on column features.pipeline_runs.error is 'The kind of error that ended the run.';
comment on column features.pipeline_runs.message is
    'What the error says. It may quote a cell, so the role features_reader cannot see it.';
comment on column features.pipeline_runs.notices is
    'What needs attention, although the drop was loaded.';
comment on column features.pipeline_runs.average_run_time is
    'The mean of all known run times, in the unit of the drop. Null in runs of before version 4.';

-- The page lists runs by when they began: a run in progress has no end.
create index pipeline_runs_by_start on features.pipeline_runs (started_at desc, run_id desc);
drop index features.pipeline_runs_by_time;

create table features.held_changes (
    run_id text not null references features.pipeline_runs on delete cascade,
    table_name text not null,
    id bigint not null,
    name text not null,
    total_experiments bigint not null,
    primary key (run_id, table_name, id)
);
comment on table features.held_changes is
    'Grain: user or compound that a held run would have taken away, with what it had.';
