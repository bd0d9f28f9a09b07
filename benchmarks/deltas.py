"""Compares deltas on a large state with bare DuckDB's query over the whole of it.

    python -m benchmarks.deltas FOLDER FIRST_ID EXPERIMENTS USERS STEP

makes a delta: new experiments of so many users, whose ids are the first multiples of STEP. Users
with low ids have more experiments (see drops.py), so those of a delta are spread over all ids.
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Facts, in_rounds, run_python
from benchmarks.postgres import Server
from benchmarks.runs import make_drop, run_duckdb, run_pipeline

DELTAS = {
    "1 % of the users": lambda size: (size // 100, size // 10_000, 100),
    "a third of the users": lambda size: (size // 100, size // 300, 3),
    "ten rows": lambda size: (10, 10, size // 1000),
}
"""By name: for a number of experiments, 100 for each user, how many the delta brings, of how many
users, and the step between their ids."""

EXPERIMENTS = """
copy (
    select
        $first + i as experiment_id,
        $step * (1 + i % $users) as user_id,
        concat_ws(';', 1 + i % 1000, 1 + (i + 1 + i % 7) % 1000) as experiment_compound_ids,
        (i % 10000) / 100 as experiment_run_time
    from range($rows) as t (i)
) to $target (header)
"""


def measure_deltas(server: Server, folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Measures each delta on top of a snapshot, taking turns with the bare query."""
    rows = []
    for size in sizes:
        drop = make_drop(folder, size)
        with server.database() as name:
            run = partial(run_pipeline, server.url(name, "features_writer"))
            run(drop, folder)
            for number in range(rounds):
                sides = {"bare DuckDB": partial(run_duckdb, drop, folder)}
                for place, (kind, scale) in enumerate(DELTAS.items()):
                    first = size * (2 + number * len(DELTAS) + place)
                    delta = folder / f"delta-{first}"
                    arguments = map(str, (first, *scale(size)))
                    run_python("benchmarks.deltas", delta, *arguments, folder=folder)
                    sides[kind] = partial(run, delta, folder, "--mode", "delta")
                rows += in_rounds(1, sides, {"experiments": size})
                for row in rows[-len(sides) :]:
                    row["round"] = number + 1
                    row.pop("counts", None)
    return rows


def make_delta(folder: Path, first: int, rows: int, users: int, step: int) -> None:
    """Writes the files of a delta."""
    import duckdb  # not in the process that measures, which must stay small

    folder.mkdir()
    target = str(folder / "user_experiments.csv")
    with duckdb.connect() as database:
        values = {"first": first, "rows": rows, "users": users, "step": step, "target": target}
        database.execute(EXPERIMENTS, values)


if __name__ == "__main__":
    make_delta(Path(sys.argv[1]), *map(int, sys.argv[2:]))
