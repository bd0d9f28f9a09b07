-- The names of compounds. Grain: compound. Values: ids; length of names.
select
    compound_id,
    "left"(compound_name, %(length)s) as compound_name
from features.compound_features
where compound_id = any(%(ids)s)
