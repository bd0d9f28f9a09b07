-- A user's features. Grain: at most one user. Values: user_id, length of texts.
select
    {features},
    cardinality(most_common_compound_ids) as tied_compounds,
    run_id,
    updated_at
from features.user_features
where user_id = %(user_id)s
