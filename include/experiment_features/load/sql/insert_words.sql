-- Inserts the words of the new names, in the order of the index. Grain: word of a name. Some may be
-- there if somebody has changed the features by hand.
insert into {words} (name_from, {key}, name_before)
select
    name_from,
    {key},
    name_before
from {new_words}
order by
    name_from,
    {key}
on conflict (name_from, {key}) do update set name_before = excluded.name_before
