-- Whether a signup date that lay in the future when the last load judged it no longer does.
-- Grain: one row. Value: today, YYYY-MM-DD: such dates sort as text.
select exists(
    select
    from features.latest_data_issues
    where
        table_name = 'users'
        and rule = 'signup_date_in_future'
        and btrim(value) <= %(today)s
)
