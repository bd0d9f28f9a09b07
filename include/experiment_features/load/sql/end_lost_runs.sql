-- Ends runs that began more than a day ago and never ended: longer than any run may take.
-- Grain: run.
update features.pipeline_runs
set
    status = 'failed',
    error = 'Lost',
    message = 'the run did not end within a day: its process was killed, or its host stopped',
    finished_at = clock_timestamp()
where status = 'running' and started_at < clock_timestamp() - interval '1 day'
