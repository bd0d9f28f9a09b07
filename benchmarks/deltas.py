"""Compares deltas on a large state with bare DuckDB's query over the whole of it.

Also measures the smallest of them on more and more layers, and beside many open issues.

    python -m benchmarks.deltas FOLDER FIRST_ID EXPERIMENTS USERS STEP

makes a delta: new experiments of so many users, whose ids are the first multiples of STEP. Users
with low ids have more experiments (see drops.py), so those of a delta are spread over all ids.
"""

import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.forms import ODD_ROWS
from benchmarks.measure import Facts, in_rounds, run_python
from benchmarks.postgres import Server
from benchmarks.runs import ONCE, make_drop, run_duckdb, run_pipeline

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


FEW, LAYERS = "ten rows", 10
"""Of which delta so many are loaded one after the other; the ninth compacts what is below it."""

ISSUES = "select count(*) from features.latest_data_issues"


def measure_deltas(server: Server, folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Measures deltas on top of snapshots, the first of them taking turns with the bare query."""
    rows = []
    for size in sizes:
        drop = make_drop(folder, size)
        turns = rounds if size < ONCE else 1
        with server.database() as name:
            run = _loaded(server, name, drop, folder)
            for number in range(turns):
                sides = {"bare DuckDB": partial(run_duckdb, drop, folder)}
                sides |= {kind: run(kind, size) for kind in DELTAS}
                rows += in_rounds(1, sides, {"experiments": size})
                for row in rows[-len(sides) :]:
                    row["round"] = number + 1
                    row.pop("counts", None)
        with server.database() as name:
            run = _loaded(server, name, drop, folder)
            for number in range(1, LAYERS + 1):
                sides = {f"{FEW}, delta {number}": run(FEW, size)}
                rows += in_rounds(1, sides, {"experiments": size})
        if size >= ONCE:
            continue
        odd = folder / f"odd-{size}"
        run_python("benchmarks.forms", drop, odd, f"2{ODD_ROWS}", folder=folder)
        with server.database() as name:
            run = _loaded(server, name, odd, folder)
            issues = server.ask(name, ISSUES)[0][0]
            for _ in range(turns):
                sides = {f"{FEW}, {issues:,} issues": run(FEW, size)}
                rows += in_rounds(1, sides, {"experiments": size})
    return rows


def _loaded(
    server: Server, name: str, drop: Path, folder: Path
) -> Callable[[str, int], Callable[[], Facts]]:
    """Loads a drop. What it returns makes a new delta of a kind, and returns what loads that."""
    load = partial(run_pipeline, server.url(name, "features_writer"))
    load(drop, folder)
    numbers = count(2)

    def run(kind: str, size: int) -> Callable[[], Facts]:
        first = size * next(numbers)
        delta = folder / f"{name}-delta-{first}"
        arguments = map(str, (first, *DELTAS[kind](size)))
        run_python("benchmarks.deltas", delta, *arguments, folder=folder)
        return partial(load, delta, folder, "--mode", "delta")

    return run


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
