-- The compounds whose features differ from the staged ones, that are new, or that are gone.
-- Grain: compound; columns: compound_id, is_staged, is_known.
create temporary table changed_compound_features on commit drop as
select
    compound_id,
    staged.compound_id is not null as is_staged,
    current.compound_id is not null as is_known
from staged_compound_features as staged
full join features.compound_features as current using (compound_id)
where
    staged.compound_id is null
    or current.compound_id is null
    or (current.compound_name, current.total_experiments, current.total_users)
    is distinct from (staged.compound_name, staged.total_experiments, staged.total_users)
