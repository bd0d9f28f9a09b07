"""COPY of the raw CSV files into PostgreSQL, and the features in SQL there.

    copy_and_sql.py SOURCE DATABASE_URL

The best that a loader which trusts its files can do: typed unlogged tables, no keys, enough
work_mem.
"""

import json
import sys
from pathlib import Path

import psycopg
from psycopg import sql

TABLES = """
set work_mem = '512MB';
create unlogged table users (user_id bigint, name text, email text, signup_date date);
create unlogged table compounds (compound_id bigint, compound_name text, compound_structure text);
create unlogged table user_experiments (
    experiment_id bigint,
    user_id bigint,
    experiment_compound_ids text,
    experiment_run_time double precision
);
"""
FEATURES = """
create table user_features as
with experiments as not materialized (
    select
        user_id,
        experiment_run_time,
        string_to_array(experiment_compound_ids, ';')::bigint[] as compound_ids
    from user_experiments
),
totals as (
    select
        user_id,
        count(*) as total_experiments,
        avg(experiment_run_time) as average_experiment_run_time,
        avg(cardinality(compound_ids))::double precision as average_compounds_per_experiment
    from experiments
    group by user_id
),
uses as materialized (
    select user_id, compound_id, count(*) as experiments
    from experiments, unnest(compound_ids) as compound_id
    group by user_id, compound_id
),
most as (select user_id, max(experiments) as experiments from uses group by user_id),
common as (
    select
        user_id,
        min(compound_id) as most_common_compound_id,
        min(experiments) as most_common_compound_experiments,
        array_agg(compound_id order by compound_id) as most_common_compound_ids
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
from users
left join totals using (user_id)
left join common using (user_id)
left join compounds on compounds.compound_id = common.most_common_compound_id
"""
COUNTS = """
select count(*), sum(total_experiments)::bigint, sum(most_common_compound_experiments)::bigint
from user_features
"""

if __name__ == "__main__":
    source, url = Path(sys.argv[1]), sys.argv[2]
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)
        for table in ("users", "compounds", "user_experiments"):
            statement = sql.SQL("copy {} from stdin (format csv, header)").format(
                sql.Identifier(table)
            )
            with (
                (source / f"{table}.csv").open("rb") as file,
                connection.cursor().copy(statement) as copy,
            ):
                while data := file.read(2**20):
                    copy.write(data)
        connection.execute("analyze users; analyze compounds; analyze user_experiments")
        connection.execute(FEATURES)
        row = connection.execute(COUNTS).fetchone() or ()
    print(json.dumps(dict(zip(("users", "experiments", "uses"), row, strict=True))))
