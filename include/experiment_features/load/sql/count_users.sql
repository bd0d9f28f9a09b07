-- Brings users_by_total_experiments up to date with user_features. Grain: one row; columns: how many
-- of its rows had to be written and deleted, and how many were.
with counted as (
    select
        total_experiments,
        count(*) as users
    from features.user_features
    group by total_experiments
),
due as (
    select
        counted.total_experiments,
        counted.users
    from counted
    left join features.users_by_total_experiments as known
        on counted.total_experiments = known.total_experiments
    where known.users is distinct from counted.users
),
past as (
    select known.total_experiments
    from features.users_by_total_experiments as known
    where not exists (
        select from counted where counted.total_experiments = known.total_experiments
    )
),
deleted as (
    delete from features.users_by_total_experiments as known
    using past
    where known.total_experiments = past.total_experiments
    returning known.total_experiments
),
written as (
    insert into features.users_by_total_experiments as known (total_experiments, users)
    select
        total_experiments,
        users
    from due
    on conflict (total_experiments) do update set users = excluded.users
    returning known.total_experiments
)
select
    (select count(*) from due) as due,
    (select count(*) from past) as past,
    (select count(*) from written) as written,
    (select count(*) from deleted) as deleted
