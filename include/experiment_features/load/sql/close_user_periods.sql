-- Ends the period of every user whose features changed, or who is gone.
-- Grain: user. Values: loaded_at, when the new period begins.
insert into features.user_features_past (
    user_id,
    user_name,
    total_experiments,
    average_experiment_run_time,
    average_compounds_per_experiment,
    most_common_compound_id,
    most_common_compound_name,
    most_common_compound_experiments,
    most_common_compound_ids,
    run_id,
    valid_from,
    valid_to
)
select
    user_id,
    current.user_name,
    current.total_experiments,
    current.average_experiment_run_time,
    current.average_compounds_per_experiment,
    current.most_common_compound_id,
    current.most_common_compound_name,
    current.most_common_compound_experiments,
    current.most_common_compound_ids,
    current.run_id,
    current.updated_at,
    %(loaded_at)s
from features.user_features as current
inner join changed_user_features as changed using (user_id)
where changed.is_known
