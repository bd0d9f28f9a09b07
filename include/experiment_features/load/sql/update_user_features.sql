-- Writes the staged features of known users whose features changed. Grain: user.
-- Values: run_id, loaded_at.
update features.user_features as current
set
    user_name = staged.user_name,
    total_experiments = staged.total_experiments,
    average_experiment_run_time = staged.average_experiment_run_time,
    average_compounds_per_experiment = staged.average_compounds_per_experiment,
    most_common_compound_id = staged.most_common_compound_id,
    most_common_compound_name = staged.most_common_compound_name,
    most_common_compound_experiments = staged.most_common_compound_experiments,
    most_common_compound_ids = staged.most_common_compound_ids,
    run_id = %(run_id)s,
    updated_at = %(loaded_at)s
from staged_user_features as staged
inner join changed_user_features as changed using (user_id)
where current.user_id = changed.user_id
