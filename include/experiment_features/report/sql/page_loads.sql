-- A page of the runs that loaded or were rejected. Grain: run. Values: cursor (run_id of the row next
-- to the page), which may be null; rows. rows and rejected_rows are those in force after a load; of a
-- rejected drop, those that were compared with the limit. issues_by_rule: of all tables together.
select
    runs.run_id,
    runs.status,
    runs.started_at,
    runs.users,
    runs.experiments,
    runs.average_experiments_per_user,
    coalesce(judged.rows, runs.users + runs.experiments + runs.compounds + runs.rejected_rows) as rows,
    coalesce(judged.rejected_rows, runs.rejected_rows) as rejected_rows,
    case when runs.issues_by_rule is not null then coalesce(by_rule.issues, '{{}}') end as issues_by_rule
from features.pipeline_runs as runs
cross join lateral (
    select
        sum((compared.value ->> 'rows')::bigint)::bigint as rows,
        sum((compared.value ->> 'rejected_rows')::bigint)::bigint as rejected_rows
    from jsonb_each(runs.judged) as compared
) as judged
cross join lateral (
    select jsonb_object_agg(rule, issues) as issues
    from (
        select
            split_part(key, '.', 2) as rule,
            sum(value::bigint) as issues
        from jsonb_each_text(runs.issues_by_rule)
        group by split_part(key, '.', 2)
    ) as of_tables
) as by_rule
where
    runs.status in ('loaded', 'rejected')
    and (
        %(cursor)s::text is null
        or ({keys}) {beyond} (
            select {keys} from features.pipeline_runs as runs where runs.run_id = %(cursor)s
        )
    )
order by {order}
limit %(rows)s
