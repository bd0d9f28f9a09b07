-- The view of all periods of a relation, made for each.

create or replace view {history} as
select {columns}
from (
    select {features}, run_id, valid_from, valid_to from {past}
    union all
    select {features}, run_id, updated_at, null from {relation}
) as periods;
comment on view {history} is {comment}
