-- A user's most common compounds, the chosen one first. Grain: compound. Values: user_id, length of
-- names, rows.
select
    tied.compound_id,
    "left"(compounds.compound_name, %(length)s) as compound_name
from features.user_features as users
cross join
    unnest(users.most_common_compound_ids[1:%(rows)s]) with ordinality as tied (compound_id, place)
left join features.compound_features as compounds on compounds.compound_id = tied.compound_id
where users.user_id = %(user_id)s
order by tied.place
