-- The users whose features differ from the staged ones, who are new, or who are gone. Grain: user;
-- columns: user_id, is_staged, is_known. One comparison that all changes of the load go by.
create temporary table changed_user_features on commit drop as
select
    user_id,
    staged.user_id is not null as is_staged,
    current.user_id is not null as is_known
from staged_user_features as staged
full join features.user_features as current using (user_id)
where
    staged.user_id is null
    or current.user_id is null
    or (
        current.user_name,
        current.total_experiments,
        current.average_experiment_run_time,
        current.average_compounds_per_experiment,
        current.most_common_compound_id,
        current.most_common_compound_name,
        current.most_common_compound_experiments,
        current.most_common_compound_ids
    ) is distinct from (
        staged.user_name,
        staged.total_experiments,
        staged.average_experiment_run_time,
        staged.average_compounds_per_experiment,
        staged.most_common_compound_id,
        staged.most_common_compound_name,
        staged.most_common_compound_experiments,
        staged.most_common_compound_ids
    )
