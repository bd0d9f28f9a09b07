"""Writes docs/performance.md and its plots from the results.

    python -m benchmarks.report

tests/unit/test_performance_page.py fails while the page is stale.
"""

import subprocess
from pathlib import Path

from benchmarks.figures import (
    Result,
    Target,
    extract_seconds_of,
    load_seconds_of,
    read_results,
    seconds_of,
    targets,
)
from benchmarks.measure import COMPARED_PYTHON, ROOT
from experiment_features.engines import LARGE_DROP_ROWS
from experiment_features.extract import LARGE_TABLE_BYTES

PAGE = ROOT / "docs" / "performance.md"
STAGES = ("extract", "validate", "transform", "load")

Cell = float | int | str | None


def page() -> str:
    """The whole page."""
    results = read_results()
    sections = [
        INTRODUCTION,
        _targets(targets(results, LARGE_DROP_ROWS)),
        _runs(results["runs"]),
        _load(results["load"]),
        _engines(results["engines"], results["typing"]),
        _latency(results["latency"]),
        _circumstances(results),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


INTRODUCTION = """
# Performance

This page is written by `benchmarks/run.sh` from the files in `benchmarks/results/`. What is
compared ran in turns on the same machine, and the ratios are medians over the rounds: they tell
more than the seconds, which are other ones on another machine.
"""

RUNS = """
## Whole runs

From the files of a drop to features in PostgreSQL, with every rule checked, through the command
line: the seconds of the whole program, its start included, and those of its stages. The drops have
2.5 compounds per experiment on average and a user per 100 experiments; some users and compounds
have far more than others. No row is faulty: the other ways would fail, or give other numbers.

![Seconds by number of experiments](images/performance-runs.svg)
"""

WAYS = """
How many times longer than the pipeline the other ways take:

- **bare DuckDB**: one query from CSV to a Parquet file of the same features; no checks, no
  database.
- **published way**: `pandas.read_csv`, `groupby` and `Counter`, `DataFrame.to_sql`, as it is
  usually written; three features, no checks.
- **COPY and SQL**: the raw files into unlogged tables of PostgreSQL, the same features by SQL
  there; no checks.
- **dlt**: a general loader brings the raw experiments into PostgreSQL, with its CSV reader and its
  defaults, or with Arrow; no features, no checks.

All must count the same users, experiments and uses of compounds, or the benchmark ends.
"""

LOAD = """
## Load

The stage `load`, beside `\\copy` of the same rows into an empty table of the same definition
(columns, key, checks). The stage puts the rows into a staging table, writes what differs, and keeps
the history of what has changed. A drop whose files are known is hashed, and not read.
"""

LATENCY = """
## Through Airflow

The sample drop with `force`, so that every stage does all of its work, on a warm local stack, in
turns with a DAG of four empty tasks. Seconds from `POST dagRuns` until the run has ended; the CPU
seconds are those of all of Airflow's processes meanwhile.
"""

MEASURED = """
## How it was measured

```bash
benchmarks/run.sh
benchmarks/run.sh --only runs --sizes 10_000,1_000_000 --rounds 5
```

The first command takes hours and 20 GB of disk; `--help` tells the rest. Every program is a process
of its own; its peak of memory is the one that Linux counts. PostgreSQL is the local stack's, with
its own settings; every run loads into a new database.
"""


def _targets(all_targets: list[Target]) -> str:
    rows: list[list[Cell]] = []
    for target in all_targets:
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:g}"
        unit = "" if target.unit == "times" else f" {target.unit}"
        figure = "not measured" if target.figure is None else f"{_number(target.figure)}{unit}"
        met = "" if target.figure is None else "met" if target.is_met else "**not met**"
        rows.append([target.what, f"{bound}{unit}", figure, met])
    return "## Targets\n\n" + _table(["what", "target", "measured", ""], rows)


def _runs(runs: Result) -> str:
    header = ["experiments", "drop, MB", "seconds", *STAGES, "peak, MiB"]
    sizes = runs.values("experiments")
    rows: list[list[Cell]] = []
    ratios: list[list[Cell]] = []
    others = [side for side in runs.values("side") if side != "ours"]
    for size in sizes:
        stages = [runs.stage(stage, "ours", experiments=size) for stage in STAGES]
        megabytes = runs.of("ours", experiments=size)[0]["drop_bytes"] / 10**6
        seconds = runs.median("seconds", "ours", experiments=size)
        peak = runs.median("peak_mib", "ours", experiments=size)
        rows.append([size, megabytes, seconds, *stages, peak])
        found = [runs.ratio(other, "ours", seconds_of, experiments=size) for other in others]
        ratios.append([size, *(None if x is None else f"{_number(x)} x" for x in found)])
    peaks: list[list[Cell]] = [
        [size, *(runs.median("peak_mib", side, experiments=size) for side in ("ours", *others))]
        for size in sizes
    ]
    parts = [
        RUNS,
        _table(header, rows),
        WAYS,
        _table(["experiments", *others], ratios),
        "Peak memory in MiB; what PostgreSQL itself takes is not in it:",
        _table(["experiments", "pipeline", *others], peaks),
    ]
    return "\n\n".join(part.strip() for part in parts)


def _load(load: Result) -> str:
    sides = {
        "new": "all users are new",
        "identical": "the same again (`force`)",
        "changed": "every user has changed",
    }
    rows: list[list[Cell]] = []
    for users in load.values("users"):
        rows += [
            [users, told, load.stage("load", side, users=users), _by_copy(load, side, users)]
            for side, told in sides.items()
        ]
        known = load.stage("extract", "unchanged", users=users)
        hashing = load.ratio("unchanged", "hashing", extract_seconds_of, users=users)
        told = f"a known drop; extract, {_number(hashing)} x hashing its files"
        rows.append([users, told, known, None])
    return f"{LOAD.strip()}\n\n{_table(['users', 'load', 'seconds', 'by bare COPY'], rows)}"


def _by_copy(load: Result, side: str, users: int) -> str:
    return f"{_number(load.ratio(side, 'bare COPY', load_seconds_of, users=users))} x"


def _engines(engines: Result, typing: Result) -> str:
    rows: list[list[Cell]] = []
    for size in engines.values("experiments"):
        for side in ("pandas", "duckdb"):
            of = [engines.stage(stage, side, experiments=size) for stage in STAGES[1:3]]
            peak = engines.median("peak_mib", side, experiments=size)
            whole = engines.median("seconds", side, experiments=size)
            rows.append([size, side, *of, whole, peak])
    typed: list[list[Cell]] = []
    for size in typing.values("experiments"):
        megabytes = typing.of("sql", experiments=size)[0]["file_bytes"] / 2**20
        seconds = [typing.median("seconds", side, experiments=size) for side in ("sql", "compiled")]
        ratio = typing.ratio("compiled", "sql", seconds_of, experiments=size)
        typed.append([size, megabytes, *seconds, ratio])
    header = ["experiments", "engine", "validate", "transform", "whole dry run", "peak, MiB"]
    parts = [
        "## pandas or DuckDB",
        f"`auto` takes DuckDB for drops of more than {LARGE_DROP_ROWS:,} experiments. Seconds:",
        "![Seconds of validate and transform](images/performance-engines.svg)",
        _table(header, rows),
        "## Typed by SQL or compiled code",
        (
            "Compiled code (Numba) types the plain lines of experiments from "
            f"{LARGE_TABLE_BYTES / 2**20:.0f} MiB on.\nSeconds of a whole process that only extracts; "
            "what was compiled once is in Numba's cache:"
        ),
        _table(["experiments", "MiB", "SQL", "compiled", "compiled by SQL"], typed),
    ]
    return "\n\n".join(parts)


def _latency(latency: Result) -> str:
    parts: list[list[Cell]] = [
        [part, *(_part(latency, part, side) for side in ("pipeline", "empty"))]
        for part in (latency.rows[0]["parts"] if latency.rows else {})
    ]
    for name, column in (("**from POST to the end**", "seconds"), ("CPU seconds", "cpu_seconds")):
        sides = [latency.median(column, side) for side in ("pipeline", "empty")]
        parts.append([name, *sides])
    memory = latency.more.get("memory_mib", {})
    rows: list[list[Cell]] = [[name, mib] for name, mib in sorted(memory.items())]
    return "\n\n".join(
        [
            LATENCY.strip(),
            _table(["where the time goes", "pipeline", "empty tasks"], parts),
            "Memory of the idle stack after these runs, in MiB of proportional set size:",
            _table(["process", "MiB"], rows),
        ]
    )


def _part(latency: Result, part: str, side: str) -> float:
    parts = sorted(row["parts"][part] for row in latency.of(side))
    return float(parts[len(parts) // 2])


def _circumstances(results: dict[str, Result]) -> str:
    rows: list[list[Cell]] = []
    for name, result in results.items():
        if not (m := result.measured):
            continue
        machine = f"{m['processor']}, {m['cores']} cores, {m['memory_gib']} GiB"
        versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
        rows.append([name, m["date"], f"`{m['commit']}`", result.more["rounds"], machine, versions])
    header = ["measurement", "date", "commit", "rounds", "machine", "versions"]
    return f"{MEASURED.strip()}\n\n{_table(header, rows)}"


def _table(header: list[str], rows: list[list[Cell]]) -> str:
    ruler = "|".join(
        "---" if isinstance(cell, str) else "---:" for cell in (rows[0] if rows else header)
    )
    lines = [" | ".join(header), ruler, *(" | ".join(map(_number, row)) for row in rows)]
    return "\n".join(
        f"| {line} |".replace("| ---", "|---").replace("--- |", "---|") for line in lines
    )


def _number(value: Cell) -> str:
    """A figure with as many digits as it deserves."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    plots = Path(__file__).with_name("plots.py")
    subprocess.run([COMPARED_PYTHON, plots], check=True)
