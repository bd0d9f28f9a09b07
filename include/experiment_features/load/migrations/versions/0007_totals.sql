-- Version 7: a delta adds to the totals of the load that it builds on.

alter table features.pipeline_runs add column totals jsonb;
comment on column features.pipeline_runs.totals is
    'Exact sums over all valid experiments, to which the next delta adds; null for loads by earlier versions.';
