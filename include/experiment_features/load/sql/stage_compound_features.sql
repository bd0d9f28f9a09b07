-- Staging of one load's compound features. Grain: compound; gone with the transaction.
create temporary table staged_compound_features on commit drop as
select compound_id, compound_name, total_experiments, total_users
from features.compound_features
with no data
