-- What merge_issues compares: the issues that hold now, and the ids that a delta brings or deletes.
create temporary table staged_issues (like features.data_issues) on commit drop;
create temporary table touched_ids (
    table_name text not null,
    id bigint not null
) on commit drop
