-- Issues as readers may see them: of the row, only numbers.

create or replace view features.reported_issues as
select {columns}
from (
    select
        {issue_columns},
        case
            when raw_row ->> 'user_id' ~ '^\s*[-+]?\d+\s*$' then raw_row ->> 'user_id'
        end as user_id,
        case
            when raw_row ->> 'experiment_compound_ids' ~ '^[-+\s\d;]+$'
                then raw_row ->> 'experiment_compound_ids'
        end as experiment_compound_ids,
        case
            when raw_row ->> 'experiment_run_time' ~* '^\s*[-+]?\d*[.,]?\d+(e[-+]?\d+)?\s*$'
                then raw_row ->> 'experiment_run_time'
        end as experiment_run_time
    from features.data_issues
) as issues;
comment on view features.reported_issues is
    'Grain: one issue of one row, with those cells of an experiment that are numbers.'
