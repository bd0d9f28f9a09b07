-- Version 10: what a load changed can be listed. The history has nearly all of it: what a load changed
-- or removed ended when its own periods began. What it added would need an index of everything that
-- begins, which every changed row would have to write; so a load keeps the ids of what it added. To
-- find the largest changes would need all of them, so it keeps the ids of those, too.

alter table features.pipeline_runs add column loaded_at timestamptz;
comment on column features.pipeline_runs.loaded_at is
    'When the periods of the load began; null if the run did not load.';
create index pipeline_runs_by_load on features.pipeline_runs (loaded_at);

create table features.load_changes (
    run_id text not null references features.pipeline_runs on delete cascade,
    table_name text not null,
    inserted bigint not null,
    updated bigint not null,
    deleted bigint not null,
    inserted_ids bigint[] not null,
    largest_ids bigint[] not null,
    primary key (run_id, table_name)
);
comment on table features.load_changes is
    'Grain: load and table. How many users or compounds the load added, changed and removed; which it added; and the largest changes of each kind.';

-- Compressing the ids of a million new users takes a second, and saves less than they do elsewhere.
alter table features.load_changes alter column inserted_ids set storage external;

create index compound_features_past_by_end on features.compound_features_past (valid_to);
-- Largest first, as the page lists them.
create index held_changes_by_experiments
on features.held_changes (run_id, table_name, (-total_experiments), id);

-- Of the loads before this version: a load's periods begin after the end of the one before.
with moments as (
    select updated_at as moment from features.user_features
    union
    select updated_at from features.compound_features
    union
    select valid_to from features.user_features_past
    union
    select valid_to from features.compound_features_past
    union
    select valid_from from features.user_features_past
    union
    select valid_from from features.compound_features_past
),
loads as (
    select
        run_id,
        coalesce(lag(finished_at) over (order by finished_at), started_at - interval '1 second') as earlier,
        finished_at
    from features.pipeline_runs
    where status = 'loaded'
),
found as (
    select
        loads.run_id,
        max(moments.moment) as loaded_at
    from loads
    inner join moments on moments.moment > loads.earlier and moments.moment <= loads.finished_at
    group by loads.run_id
)
update features.pipeline_runs as runs
set loaded_at = found.loaded_at
from found
where runs.run_id = found.run_id;

with begun as (
    select
        'users' as table_name, user_id as id, updated_at as moment, total_experiments,
        average_experiment_run_time, average_compounds_per_experiment
    from features.user_features
    union all
    select
        'users', user_id, valid_from, total_experiments,
        average_experiment_run_time, average_compounds_per_experiment
    from features.user_features_past
    union all
    select 'compounds', compound_id, updated_at, total_experiments, null, null
    from features.compound_features
    union all
    select 'compounds', compound_id, valid_from, total_experiments, null, null
    from features.compound_features_past
),
ended as (
    select
        'users' as table_name, user_id as id, valid_to as moment, total_experiments,
        average_experiment_run_time, average_compounds_per_experiment
    from features.user_features_past
    union all
    select 'compounds', compound_id, valid_to, total_experiments, null, null
    from features.compound_features_past
),
changes as (
    select
        runs.run_id,
        table_name,
        id,
        case when ended.id is null then 'new' when begun.id is null then 'gone' else 'changed' end as kind,
        abs(coalesce(begun.total_experiments, 0) - coalesce(ended.total_experiments, 0)) as size,
        case
            when ended.id is null or begun.id is null then 0
            else greatest(
                case
                    when begun.average_experiment_run_time is distinct from ended.average_experiment_run_time
                        then coalesce(
                            abs(begun.average_experiment_run_time - ended.average_experiment_run_time)
                            / nullif(ended.average_experiment_run_time, 0), 'infinity'
                        )
                    else 0
                end,
                case
                    when begun.average_compounds_per_experiment
                        is distinct from ended.average_compounds_per_experiment
                        then coalesce(
                            abs(begun.average_compounds_per_experiment - ended.average_compounds_per_experiment)
                            / nullif(ended.average_compounds_per_experiment, 0), 'infinity'
                        )
                    else 0
                end
            )
        end as relative_size
    from begun
    full join ended using (table_name, id, moment)
    inner join features.pipeline_runs as runs on runs.loaded_at = moment
),
ranked as (
    select
        *,
        row_number() over (
            partition by run_id, table_name, kind order by size desc, relative_size desc, id
        ) as place
    from changes
)
insert into features.load_changes (
    run_id, table_name, inserted, updated, deleted, inserted_ids, largest_ids
)
select
    run_id,
    table_name,
    count(*) filter (where kind = 'new'),
    count(*) filter (where kind = 'changed'),
    count(*) filter (where kind = 'gone'),
    coalesce(array_agg(id) filter (where kind = 'new'), '{}'),
    coalesce(array_agg(id) filter (where place <= 1000), '{}')
from ranked
group by run_id, table_name;
