"""How much longer reading and checking a drop takes than DuckDB needs to read it unchecked.

    PYTHONPATH=include .venv/bin/python benchmarks/validation.py [EXPERIMENTS]

Both sides read the same files and write Parquet, in turns, on an otherwise idle machine: DuckDB
with its own type guessing, and the stages extract and validate with every rule. Printed: seconds of
each round and the ratio of the medians. The bound is 3 (tests time nothing: machines are noisy).
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from experiment_features.contract import TABLES
from experiment_features.duck import open_duckdb
from experiment_features.engines import choose_engine
from experiment_features.extract import extract
from experiment_features.validate import validate
from experiment_features.workspace import Workspace

ROUNDS = 3
COMPOUNDS = 1_000

USERS_SQL = """
copy (
    select
        i as user_id, 'User ' || i as name, 'user' || i || '@example.org' as email,
        date '2023-01-01' + (i % 700)::integer as signup_date
    from range(1, $users + 1) as t (i)
) to $target (header)
"""
COMPOUNDS_SQL = """
copy (
    select i as compound_id, 'Compound ' || i as compound_name, 'C' || i as compound_structure
    from range(1, $compounds + 1) as t (i)
) to $target (header)
"""
EXPERIMENTS_SQL = """
copy (
    select
        i as experiment_id,
        1 + (random() * random() * ($users - 1))::bigint as user_id,
        list_aggregate(
            list_transform(
                range(1 + (random() * 3)::integer), lambda n: 1 + hash(i * 7 + n) % $compounds
            ),
            'string_agg',
            ';'
        ) as experiment_compound_ids,
        round(random() * 100, 2) as experiment_run_time
    from range(1, $experiments + 1) as t (i)
) to $target (header)
"""


def generate(folder: Path, experiments: int) -> None:
    """Writes a drop without faults: users skewed, a hundred experiments each on average."""
    users = max(experiments // 100, 10)
    with open_duckdb() as database:
        database.execute("set threads = 1")  # for the same numbers from the same seed
        database.execute("select setseed(0.5)")
        for name, sql, values in (
            ("users", USERS_SQL, {"users": users}),
            ("compounds", COMPOUNDS_SQL, {"compounds": COMPOUNDS}),
            (
                "user_experiments",
                EXPERIMENTS_SQL,
                {"users": users, "compounds": COMPOUNDS, "experiments": experiments},
            ),
        ):
            database.execute(sql, {**values, "target": str(folder / f"{name}.csv")})


def guess(source: Path, target: Path) -> None:
    """DuckDB alone: guess the types, check nothing, write Parquet."""
    with open_duckdb(target) as database:
        for table in TABLES:
            database.read_csv(str(source / f"{table}.csv")).write_parquet(
                str(target / f"{table}.parquet")
            )


def check(source: Path, target: Path) -> None:
    """The stages extract and validate."""
    workspace = Workspace(target / "workspace")
    extract(source, workspace)
    engine = choose_engine("duckdb", 0, target / "spill")
    validate(workspace, engine, max_rejected_percent=0, today=datetime.now(UTC).date())


def seconds(work: Callable[[Path, Path], None], source: Path, target: Path) -> float:
    """How long one round takes."""
    started = time.perf_counter()
    work(source, target)
    return time.perf_counter() - started


def main() -> None:
    """Generates a drop, measures in turns, and prints the figures."""
    experiments = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory(prefix="experiment_features_") as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        source.mkdir()
        target.mkdir()
        generate(source, experiments)
        rounds = [
            (seconds(guess, source, target), seconds(check, source, target)) for _ in range(ROUNDS)
        ]
    for guessed, checked in rounds:
        print(f"unchecked {guessed:6.2f} s   checked {checked:6.2f} s")
    ratio = median(c for _, c in rounds) / median(g for g, _ in rounds)
    print(f"{experiments:,} experiments: checked takes {ratio:.2f} times unchecked")


if __name__ == "__main__":
    main()
