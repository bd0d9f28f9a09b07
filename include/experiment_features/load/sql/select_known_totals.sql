-- What the features amount to, to be compared with the ledger. Grain: one row.
select
    count(*) as users,
    coalesce(sum(total_experiments), 0)::bigint as experiments,
    (select count(*) from features.compound_features) as compounds,
    (
        select count(distinct (run_id, table_name, file_name, line_number))
        from features.latest_data_issues
        where severity = 'error'
    ) as rejected_rows,
    (select count(*) from features.latest_data_issues where severity = 'warning') as warnings
from features.user_features
