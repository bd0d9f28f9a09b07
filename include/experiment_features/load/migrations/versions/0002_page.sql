-- Version 2: keeps the page fast, however many users, runs and issues there are.

-- Counting a million users takes too long for a page, so each load counts them once.
create table features.users_by_total_experiments (
    total_experiments bigint primary key,
    users bigint not null,
    constraint someone_has_them check (users > 0)
);
comment on table features.users_by_total_experiments is
    'Grain: number of experiments. How many users of user_features have that many.';
insert into features.users_by_total_experiments (total_experiments, users)
select
    total_experiments,
    count(*)
from features.user_features
group by total_experiments;

-- Only the beginning of a name: an index entry has a maximum size, a name has none. In byte order,
-- because only that order can be searched by prefix.
create index user_features_by_name
on features.user_features (lower("left"(user_name, 64)) collate "C", user_id);
create index user_features_by_experiments on features.user_features (total_experiments, user_id);
create index compound_features_by_experiments
on features.compound_features (total_experiments desc, compound_id);
create index data_issues_by_rule
on features.data_issues (run_id, table_name, rule, file_name, line_number) include (severity);
