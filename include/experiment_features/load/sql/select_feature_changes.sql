-- What changes, feature by feature. Grain: row of the relation, and feature that differs; of a row
-- that comes or goes, only the number of experiments. Columns: those of the pairs (id; kind: new,
-- changed or gone; before_ and after_ with the name of each feature); feature; size, by how much the
-- number of experiments changes, 0 for other features; relative_size, by which part of itself an
-- average changes: infinite if there was none, or 0; 0 for other features.
select
    pairs.*,
    compared.feature,
    compared.size,
    compared.relative_size
from ({pairs}) as pairs
cross join lateral (
    values {features}
) as compared (feature, is_different, size, relative_size)
where
    compared.is_different
    and (pairs.kind = 'changed' or compared.feature = 'total_experiments')
