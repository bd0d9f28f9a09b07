"""Compares deltas on a large state with bare DuckDB's query over the whole of it.

    python -m benchmarks.deltas FOLDER FIRST_ID EXPERIMENTS USERS

makes a delta: new experiments of the users whose ids are the multiples of 3, up to so many users.
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Facts, in_rounds, run_python
from benchmarks.postgres import Server
from benchmarks.runs import make_drop, run_duckdb, run_pipeline

DELTAS = {
    "1 % of the users": lambda size: (size // 100, size // 10_000),
    "a third of the users": lambda size: (size // 100, size // 300),
    "ten rows": lambda _: (10, 10),
}
"""By name: for a number of experiments, how many the delta brings, and of how many users."""

EXPERIMENTS = """
copy (
    select
        $first + i as experiment_id,
        3 * (1 + i % $users) as user_id,
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


def make_delta(folder: Path, first: int, rows: int, users: int) -> None:
    """Writes the files of a delta."""
    import duckdb  # not in the process that measures, which must stay small

    folder.mkdir()
    target = str(folder / "user_experiments.csv")
    with duckdb.connect() as database:
        values = {"first": first, "rows": rows, "users": users, "target": target}
        database.execute(EXPERIMENTS, values)


if __name__ == "__main__":
    make_delta(Path(sys.argv[1]), *map(int, sys.argv[2:]))
