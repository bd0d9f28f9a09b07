-- A user's periods, the latest first. Grain: period. Values: user_id, rows. Names are cut.
select
    valid_from,
    valid_to,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    "left"(most_common_compound_name, 120) as most_common_compound_name,
    run_id
from features.user_features_history
where user_id = %(user_id)s
order by valid_from desc
limit %(rows)s
