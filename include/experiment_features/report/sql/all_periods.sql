-- All periods of a relation, those in force first. Grain: that of the relation, and period.
select {columns}, updated_at as valid_from from {relation}
union all
select {columns}, valid_from from {past}
