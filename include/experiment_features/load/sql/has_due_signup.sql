-- Whether a signup date that lay in the future when a run was loaded no longer does.
-- Grain: one row. Values: run_id; today, YYYY-MM-DD: such dates sort as text.
select exists(
    select
    from features.data_issues
    where
        run_id = %(run_id)s
        and table_name = 'users'
        and rule = 'signup_date_in_future'
        and btrim(value) <= %(today)s
)
