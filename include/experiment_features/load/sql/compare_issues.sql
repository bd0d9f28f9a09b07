-- The issues that no longer hold, and those that are new; one that was changed by hand is both. All
-- statements that change the issues use this comparison.
-- Grain: issue; columns: its key, and is_staged: whether it is new.
create temporary table changed_issues on commit drop as
select
    table_name,
    file_name,
    line_number,
    rule,
    run_id,
    is_staged
from staged_issues as staged
full join known_issues as issues
    using (table_name, file_name, line_number, rule, run_id)
cross join (values (true), (false)) as sides (is_staged)
where
    (staged.severity, staged.row_id, staged.column_name, staged.value)
    is distinct from (issues.severity, issues.row_id, issues.column_name, issues.value)
    and case when is_staged then staged.severity else issues.severity end is not null
