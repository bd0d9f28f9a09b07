-- Enters a run in the ledger. Grain: run. Values: one of each column but the times; started_at, and
-- loaded_at: when its periods began, or null. A clock that went back must not put a load before its
-- own periods.
insert into features.pipeline_runs ({columns}, started_at, finished_at)
values (
    {values},
    least(%(started_at)s, clock_timestamp()),
    greatest(clock_timestamp(), %(loaded_at)s)
)
