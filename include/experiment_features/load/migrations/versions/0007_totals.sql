-- Version 7: a delta adds to the totals of the load that it builds on.

alter table features.pipeline_runs
    add column timed_experiments bigint,
    add column total_run_time numeric;
comment on column features.pipeline_runs.timed_experiments is
    'Valid experiments with a run time; null for loads by earlier versions.';
comment on column features.pipeline_runs.total_run_time is
    'The exact sum of their run times, in the drop''s own unit; null for loads by earlier versions.';
