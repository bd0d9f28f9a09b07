-- Version 11: a load says what it left. The issues themselves tell how many there were by rule, but to
-- count those of many loads takes longer the more there are.

alter table features.pipeline_runs
    add column state_hash numeric,
    add column issues_by_rule jsonb;
comment on column features.pipeline_runs.state_hash is
    'Hash of all features and open issues as the load left them; null if the run did not load.';
comment on column features.pipeline_runs.issues_by_rule is
    'By table.rule, how many issues hold after the load, or why a snapshot was rejected; else null.';
