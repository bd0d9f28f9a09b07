"""Bare DuckDB: a single query from CSV to features, without checks or a load.

bare_duckdb.py SOURCE TARGET        TARGET: the Parquet file of the features
"""

import json
import sys
from pathlib import Path

import duckdb

QUERY = """
copy (
    with experiments as (
        select
            user_id,
            experiment_run_time,
            string_split(experiment_compound_ids::varchar, ';') as compound_ids
        from read_csv($experiments)
    ),
    totals as (
        select
            user_id,
            count(*) as total_experiments,
            avg(experiment_run_time) as average_experiment_run_time,
            avg(len(compound_ids)) as average_compounds_per_experiment
        from experiments
        group by user_id
    ),
    uses as (
        select user_id, compound_id, count(*) as experiments
        from (select user_id, unnest(compound_ids)::bigint as compound_id from experiments)
        group by user_id, compound_id
    ),
    -- A window function would take longer.
    most as (select user_id, max(experiments) as experiments from uses group by user_id),
    common as (
        select
            user_id,
            min(compound_id) as most_common_compound_id,
            any_value(experiments) as most_common_compound_experiments,
            list(compound_id order by compound_id) as most_common_compound_ids
        from uses
        join most using (user_id, experiments)
        group by user_id
    )
    select
        users.user_id,
        users.name as user_name,
        coalesce(total_experiments, 0) as total_experiments,
        average_experiment_run_time,
        average_compounds_per_experiment,
        most_common_compound_id,
        compounds.compound_name as most_common_compound_name,
        most_common_compound_experiments,
        most_common_compound_ids
    from read_csv($users) as users
    left join totals using (user_id)
    left join common using (user_id)
    left join read_csv($compounds) as compounds
        on compounds.compound_id = common.most_common_compound_id
) to $target
"""
COUNTS = """
select
    count(*) as users,
    sum(total_experiments)::bigint as experiments,
    sum(most_common_compound_experiments)::bigint as uses
from read_parquet($target)
"""

if __name__ == "__main__":
    source, target = Path(sys.argv[1]), sys.argv[2]
    database = duckdb.connect()
    database.execute("set enable_progress_bar = false")
    database.execute("set temp_directory = $folder", {"folder": f"{target}.spill"})
    files = {
        "experiments": str(source / "user_experiments*.csv"),
        "users": str(source / "users.csv"),
        "compounds": str(source / "compounds.csv"),
    }
    database.execute(QUERY, {**files, "target": target})
    (row,) = database.execute(COUNTS, {"target": target}).fetchall()
    print(json.dumps(dict(zip(("users", "experiments", "uses"), row, strict=True))))
