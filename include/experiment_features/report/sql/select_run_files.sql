-- The files that a run read. Grain: file. Values: run_id, rows. bytes is the size on disk.
select
    file ->> 'table' as table_name,
    "left"(file ->> 'name', 300) as file_name,
    (file ->> 'rows')::bigint as rows_read,
    (file ->> 'bytes')::bigint as bytes,
    file ->> 'sha256' as sha256
from features.pipeline_runs as runs
cross join jsonb_array_elements(runs.source_files) with ordinality as files (file, place)
where runs.run_id = %(run_id)s
order by files.place
limit %(rows)s
