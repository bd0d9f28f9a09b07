-- Whether somebody has put a trigger on data_issues, which has none of its own. Grain: one row.
select
    exists (
        select from pg_trigger
        where tgrelid = 'features.data_issues'::regclass and not tgisinternal and tgenabled <> 'D'
    )
