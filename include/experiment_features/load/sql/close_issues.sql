-- Closes all open issues: a load brings every row, so it finds anew what still holds. Grain: issue.
-- Value: run_id, the load.
update features.data_issues
set closed_by = %(run_id)s
where closed_by is null
