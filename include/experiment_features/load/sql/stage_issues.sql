-- What merge_issues compares: the issues that hold now, the ids that a delta brings or deletes, and
-- those of all rows that were judged.
create temporary table staged_issues on commit drop as
select *
from features.latest_data_issues -- unlike the table, without columns that users have added
with no data;
create temporary table touched_ids (
    table_name text not null,
    id bigint not null
) on commit drop;
create temporary table judged_ids (like touched_ids) on commit drop
