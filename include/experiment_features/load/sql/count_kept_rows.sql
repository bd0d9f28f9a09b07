-- How many rows there are of a run that was deleted, which should be none. Grain: one row.
-- Value: run_id.
select
    (select count(*) from features.data_issues where run_id = %(run_id)s) as data_issues,
    (select count(*) from features.held_changes where run_id = %(run_id)s) as held_changes
