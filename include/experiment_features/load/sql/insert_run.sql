-- Adds a run to the ledger. Grain: run. Values: one per column but finished_at. A clock that was set
-- back must not make a load end before its own periods begin, nor any run before the load that was
-- then the last.
insert into features.pipeline_runs ({columns}, started_at, finished_at)
values (
    {values},
    least(%(started_at)s, clock_timestamp()),
    case
        when %(status)s::text <> 'running'
            then greatest(
                clock_timestamp(),
                %(loaded_at)s::timestamptz,
                (select max(finished_at) from features.pipeline_runs where status = 'loaded')
            )
    end
)
