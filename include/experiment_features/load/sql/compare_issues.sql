-- The issues that no longer hold, and those that are new; all statements that change the issues use
-- this comparison. Grain: issue; columns: its key, and is_staged: whether it is new.
create temporary table changed_issues on commit drop as
select
    table_name,
    file_name,
    line_number,
    rule,
    run_id,
    staged.found_by is not null as is_staged
from staged_issues as staged
full join known_issues as issues
    using (table_name, file_name, line_number, rule, run_id)
where
    staged.found_by is null
    or issues.severity is null
