-- Removes the compounds that the drop no longer has. Grain: compound.
delete from features.compound_features as current
using changed_compound_features as changed
where current.compound_id = changed.compound_id and not changed.is_staged
