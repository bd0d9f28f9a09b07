-- The sum of the hashes of a relation's rows. Grain: one row.
select coalesce(sum(hash_record_extended(row({columns}), 0)), 0)
from {relation} as hashed
