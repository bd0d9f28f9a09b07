-- Version 3: a repeated run finds what it found the first time.

alter table features.pipeline_runs add column today date;
comment on column features.pipeline_runs.today is
    'The day, UTC, that the rules took for today. Null in runs of before version 3.';
