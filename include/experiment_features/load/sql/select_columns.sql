-- The columns of a relation, in order; none if it does not exist. Value: relation.
select attname::text
from pg_attribute
where attrelid = to_regclass(%(relation)s) and attnum > 0 and not attisdropped
order by attnum
