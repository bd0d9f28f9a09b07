-- The parts that the ledger names. Grain: run and part, as JSON; the runs that began last first.
-- Values: reader, as in '.v1.'; sizes, in bytes.
select part
from
    features.pipeline_runs as runs,
    jsonb_array_elements(runs.parts) as layer,
    jsonb_array_elements(layer -> 'parts') as part
where
    (part ->> 'bytes')::bigint = any(%(sizes)s)
    and strpos(part ->> 'part', %(reader)s) > 0
order by runs.started_at desc
