-- All users, for a download. Grain: user.
select
    user_id,
    user_name,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    most_common_compound_id,
    most_common_compound_name,
    most_common_compound_experiments,
    array_to_string(most_common_compound_ids, ';') as most_common_compound_ids,
    run_id,
    updated_at
from features.user_features
order by user_id
