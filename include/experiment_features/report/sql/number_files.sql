-- In which file of an exported table each row goes. Grain: row; adds the column file, from 0.
-- An even file has no number with a decimal comma, so its points are decimal ones; an odd one has
-- the numbers with commas, and those that a comma made ambiguous. The rows of an id are in the order of
-- their files, because the first is the one that is not repeated.
with judged as (
    select
        *,
        shows_commas or is_ambiguous as is_odd
    from exported_rows
),
compared as (
    select
        *,
        is_odd <> lag(is_odd, 1, false) over (partition by id order by position) as is_change
    from judged
)
select
    * exclude (is_odd, is_change),
    (count(*) filter (where is_change) over (partition by id order by position))::integer as file
from compared
