-- Writes the staged features of known compounds whose features changed. Grain: compound.
-- Values: run_id, loaded_at.
update features.compound_features as current
set
    compound_name = staged.compound_name,
    total_experiments = staged.total_experiments,
    total_users = staged.total_users,
    run_id = %(run_id)s,
    updated_at = %(loaded_at)s
from staged_compound_features as staged
inner join changed_compound_features as changed using (compound_id)
where current.compound_id = changed.compound_id
