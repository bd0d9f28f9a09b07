-- Adds the users that are new. Grain: user. Values: run_id, loaded_at.
insert into features.user_features (
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
    updated_at
)
select
    staged.user_id,
    staged.user_name,
    staged.total_experiments,
    staged.average_experiment_run_time,
    staged.average_compounds_per_experiment,
    staged.most_common_compound_id,
    staged.most_common_compound_name,
    staged.most_common_compound_experiments,
    staged.most_common_compound_ids,
    %(run_id)s,
    %(loaded_at)s
from staged_user_features as staged
inner join changed_user_features as changed using (user_id)
where not changed.is_known
