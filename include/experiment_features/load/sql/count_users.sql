-- Brings users_by_total_experiments up to date with user_features. Grain: number of experiments.
with counted as (
    select
        total_experiments,
        count(*) as users
    from features.user_features
    group by total_experiments
),
gone as (
    delete from features.users_by_total_experiments as known
    where not exists (
        select from counted where counted.total_experiments = known.total_experiments
    )
)
insert into features.users_by_total_experiments as known (total_experiments, users)
select
    total_experiments,
    users
from counted
on conflict (total_experiments) do update
    set users = excluded.users
    where known.users <> excluded.users
