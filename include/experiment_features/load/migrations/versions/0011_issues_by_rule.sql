-- Version 11: a run keeps how many issues there were by rule. The issues themselves tell it, but to count
-- those of many loads takes longer the more there are.

alter table features.pipeline_runs add column issues_by_rule jsonb;
comment on column features.pipeline_runs.issues_by_rule is
    'By table.rule, how many issues hold after the load, or why a snapshot was rejected; else null.';
