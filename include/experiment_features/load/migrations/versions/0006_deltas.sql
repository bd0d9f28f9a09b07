-- Version 6: a drop may hold only what has changed.

alter table features.pipeline_runs
    add column mode text,
    add column base_run_id text,
    add column healed bigint,
    add constraint mode_is_known check (mode in ('snapshot', 'delta'));
update features.pipeline_runs
set mode = 'snapshot'
where status in ('loaded', 'unchanged', 'held', 'rejected');
comment on column features.pipeline_runs.mode is
    'Whether the drop was a snapshot or a delta; null if the run ended before it was known.';
comment on column features.pipeline_runs.base_run_id is
    'The load that the delta was built on; null for a snapshot.';
comment on column features.pipeline_runs.healed is
    'Rows of earlier drops that had been rejected and are valid now; null if the run did not load.';
