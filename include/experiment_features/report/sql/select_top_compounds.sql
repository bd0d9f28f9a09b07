-- The compounds in the most experiments. Grain: compound. Values: length of names, rows.
select
    compound_id,
    "left"(compound_name, %(length)s) as compound_name,
    total_experiments,
    total_users
from features.compound_features
order by total_experiments desc, compound_id
limit %(rows)s
