-- How a relation differs from the staged rows. Grain: one row; columns: numbers of rows to insert,
-- to update and to delete.
select
    count(*) filter (where not is_known),
    count(*) filter (where is_known and is_staged),
    count(*) filter (where not is_staged)
from {changed}
