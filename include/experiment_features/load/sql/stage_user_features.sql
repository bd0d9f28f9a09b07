-- Staging of one load's user features. Grain: user; gone with the transaction.
create temporary table staged_user_features on commit drop as
select
    user_id,
    user_name,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    most_common_compound_id,
    most_common_compound_name,
    most_common_compound_experiments,
    most_common_compound_ids
from features.user_features
with no data
