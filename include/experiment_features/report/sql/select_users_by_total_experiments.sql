-- How many users have how many experiments. Grain: number of experiments, ascending.
select
    total_experiments,
    users
from features.users_by_total_experiments
order by total_experiments
