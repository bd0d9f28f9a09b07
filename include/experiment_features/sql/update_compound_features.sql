-- Writes the staged features of known compounds whose features differ. Grain: compound.
-- Values: run_id, loaded_at.
update features.compound_features as current
set
    compound_name = staged.compound_name,
    total_experiments = staged.total_experiments,
    total_users = staged.total_users,
    run_id = %(run_id)s,
    updated_at = %(loaded_at)s
from staged_compound_features as staged
where
    current.compound_id = staged.compound_id
    and (current.compound_name, current.total_experiments, current.total_users)
    is distinct from (staged.compound_name, staged.total_experiments, staged.total_users)
