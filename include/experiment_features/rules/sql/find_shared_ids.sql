-- Two files of which the second has every id of the first. Grain: at most one pair, of the file with
-- the fewest ids. places: grain: row of a table; columns: file_number, id. Only the first ten files
-- whose ids are all elsewhere are compared, so that many copies do not multiply the work.
with ids as (
    select distinct
        file_number,
        id
    from places
    where id is not null
),
spread as (
    select
        id,
        count(*) > 1 as is_shared
    from ids
    group by id
),
parts as (
    select
        ids.file_number,
        count(*) as ids
    from ids
    inner join spread using (id)
    group by ids.file_number
    having bool_and(spread.is_shared)
    order by ids.file_number
    limit 10
)
select
    part.file_number,
    whole.file_number
from parts
inner join ids as part using (file_number)
inner join ids as whole
    on part.id = whole.id
    and part.file_number <> whole.file_number
group by part.file_number, whole.file_number, parts.ids
having count(*) = parts.ids
order by parts.ids, part.file_number, whole.file_number
limit 1
