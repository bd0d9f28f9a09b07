-- The issues that hold.

create or replace view features.latest_data_issues as
select {columns}
from features.data_issues
where closed_by is null;
comment on view features.latest_data_issues is
    'Grain: one issue of one row that holds after the last load.'
