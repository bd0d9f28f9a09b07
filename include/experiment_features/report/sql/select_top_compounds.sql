-- The compounds in the most experiments. Grain: compound. Value: rows. Names are truncated.
select
    compound_id,
    "left"(compound_name, 120) as compound_name,
    total_experiments,
    total_users
from features.compound_features
order by total_experiments desc, compound_id
limit %(rows)s
