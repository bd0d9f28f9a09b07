-- All features of every compound. Grain: compound.
select *
from features.compound_features
order by compound_id;
