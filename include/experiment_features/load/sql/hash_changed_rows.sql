-- The sum of the hashes of those rows of a relation whose key is in a table of changes.
-- Grain: one row.
select coalesce(sum(hash_record_extended(row({columns}), 0)), 0)
from {relation} as hashed
where ({key}) in (select {key} from {changed})
