-- Deletes the issues that were closed long ago, even if the run that closed them is kept.
-- Grain: issue. Value: keep_days.
delete from features.data_issues as issues
using features.pipeline_runs as runs
where
    issues.closed_by = runs.run_id
    and runs.finished_at < clock_timestamp() - make_interval(days => %(keep_days)s)
