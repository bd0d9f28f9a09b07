-- The staging table of a relation. Grain: that of the relation; dropped with the transaction.
create temporary table {staged} on commit drop as
select {columns}
from {relation}
with no data
