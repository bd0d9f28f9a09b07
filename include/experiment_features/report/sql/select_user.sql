-- A user's features. Grain: at most one user. Value: user_id. Names are cut.
select
    user_id,
    "left"(user_name, 1000) as user_name,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    most_common_compound_experiments,
    cardinality(most_common_compound_ids) as tied_compounds,
    run_id,
    updated_at
from features.user_features
where user_id = %(user_id)s
