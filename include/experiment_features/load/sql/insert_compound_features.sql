-- Adds the compounds that are new. Grain: compound. Values: run_id, loaded_at.
insert into features.compound_features (
    compound_id, compound_name, total_experiments, total_users, run_id, updated_at
)
select
    staged.compound_id,
    staged.compound_name,
    staged.total_experiments,
    staged.total_users,
    %(run_id)s,
    %(loaded_at)s
from staged_compound_features as staged
inner join changed_compound_features as changed using (compound_id)
where not changed.is_known
