-- The sha256 of the rows that come and go, before they do: see digest.py.
-- Grain: row; columns: is_new, sha256.
select
    true as is_new,
    sha256(convert_to({staged_row}, 'UTF8')) as sha256
from {staged} as staged
inner join {changed} as changed using ({key})
where changed.is_staged
union all
select
    false as is_new,
    sha256(convert_to({known_row}, 'UTF8')) as sha256
from {known} as known
inner join {changed} as changed using ({key})
where {was_known}
