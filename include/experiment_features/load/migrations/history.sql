-- The view of all periods of a relation, made for each like views.sql.

create or replace view {history} as
select {history_columns}
from (
    select {features}, run_id, valid_from, valid_to from {past}
    union all
    select {features}, run_id, updated_at, null from {relation}
) as periods;
comment on view {history} is {comment}
