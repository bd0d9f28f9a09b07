-- Removes the compounds that the drop no longer has. Grain: compound.
delete from features.compound_features as current
where not exists (
    select from staged_compound_features as staged where staged.compound_id = current.compound_id
)
