-- A page of users or compounds in the order of their names, from the word on that was searched for.
-- Grain: that of the relation. Values: what the condition has; excluded (an id that is shown apart, or
-- null); cursor (the id of the row next to the page, or null) and cursor_name (its name_from); length
-- of texts; rows.
select
    {features}
from {words} as words
inner join {relation} using ({key})
where {condition}
    and (%(excluded)s::bigint is null or {key} <> %(excluded)s)
    and (%(cursor)s::bigint is null or ({keys}) {beyond} (%(cursor_name)s, %(cursor)s))
order by {order}
limit %(rows)s
