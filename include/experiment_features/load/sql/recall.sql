-- A relation as it stood at a moment. Grain: that of the relation; dropped with the transaction.
-- Value: moment.
create temporary table {relation} on commit drop as
select {columns}
from {history}
where valid_from <= %(moment)s and (valid_to is null or %(moment)s < valid_to)
