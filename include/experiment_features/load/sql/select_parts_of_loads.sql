-- The parts of all loads. Grain: load and part; the latest load first.
select
    runs.run_id,
    part ->> 'table' as table_name,
    part ->> 'part' as part
from
    features.pipeline_runs as runs,
    jsonb_array_elements(runs.parts) as layer,
    jsonb_array_elements(layer -> 'parts') as part
where runs.status = 'loaded'
order by runs.finished_at desc
