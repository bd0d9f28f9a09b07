-- Staging of one load's rows of a relation. Grain: that of the relation; gone with the transaction.
create temporary table {staged} on commit drop as
select {columns}
from {relation}
with no data
