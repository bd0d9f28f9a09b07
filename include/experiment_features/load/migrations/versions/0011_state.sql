-- Version 11: a load says what it left, so that what is changed by hand is noticed.

alter table features.pipeline_runs add column state_hash numeric;
comment on column features.pipeline_runs.state_hash is
    'Hash of all features and open issues as the load left them; null if the run did not load.';
