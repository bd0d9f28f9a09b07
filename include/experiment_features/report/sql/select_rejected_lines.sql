-- The lines of rejected rows of experiments. Grain: file. Value: run_id, the load that judged them.
select
    file_name,
    array_agg(distinct line_number) as line_numbers
from features.data_issues
where
    found_by = %(run_id)s
    and table_name = 'user_experiments'
    and severity = 'error'
group by file_name
