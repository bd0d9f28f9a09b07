-- The totals of compounds. Grain: compound.
select
    compound_id,
    total_experiments,
    total_users
from features.compound_features
