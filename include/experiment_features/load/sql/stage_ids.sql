-- The ids that were computed again. Grain: id; dropped with the transaction.
create temporary table {computed} ({key} bigint primary key) on commit drop
