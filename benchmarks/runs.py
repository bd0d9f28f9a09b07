"""Compares whole runs, from files to features in PostgreSQL, with other ways to get there."""

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from benchmarks.forms import FORMS
from benchmarks.measure import COMPARED_PYTHON, Facts, in_rounds, run_program, run_python
from benchmarks.postgres import Server

WAYS = Path(__file__).parent / "ways"

LARGEST = {
    "ours": 100_000_000,
    "bare DuckDB": 100_000_000,
    "published way": 10_000_000,
    "COPY and SQL": 10_000_000,
    "dlt": 1_000_000,
    "dlt with Arrow": 1_000_000,
}
"""The largest drop for each side; beyond it, the side takes too much time or memory."""

ONCE = 100_000_000
"""From this size on, drops are measured only once: a round takes a quarter of an hour."""

SPARING = {"EXPERIMENT_FEATURES_MEMORY_LIMIT": "3GiB"}
"""The pipeline's settings for such a drop; the default is half of the machine's memory."""

_COUNTS = """
select count(*), sum(total_experiments)::bigint, sum(most_common_compound_experiments)::bigint
from features.user_features
"""


def make_drop(folder: Path, *arguments: object) -> Path:
    """Makes a drop (see drops.py for the arguments) unless it exists; returns its folder."""
    drop = folder / "-".join(["drop", *map(str, arguments)])
    if not drop.exists():
        run_python("benchmarks.drops", drop, *map(str, arguments), folder=folder)
    return drop


def measure_runs(server: Server, folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Measures every way on drops of all sizes that it can handle."""
    rows = []
    for size in sizes:
        drop = make_drop(folder, size)
        settings = SPARING if size >= ONCE else {}
        sides = {
            side: measure
            for side, measure in sides_of(server, drop, folder, settings).items()
            if size <= LARGEST[side]
        }
        bytes_ = sum(path.stat().st_size for path in drop.iterdir())
        turns = rounds if size < ONCE else 1
        rows += in_rounds(turns, sides, {"experiments": size, "drop_bytes": bytes_})
        check_agreement([row for row in rows if row["experiments"] == size])
        shutil.rmtree(drop)
    return rows


def measure_checks(folder: Path, size: int, rounds: int) -> list[Facts]:
    """Compares reading and checking a drop with that of other forms of it, and with other tools."""
    drop = make_drop(folder, size)

    def check(source: Path) -> Facts:
        return run_python("experiment_features", "check", source, folder=folder).facts()

    def guess() -> Facts:
        return run_python(WAYS / "guessed_types.py", drop, folder, folder=folder).facts()

    def sort_out() -> Facts:
        target = folder / "floe"
        target.mkdir()
        command = [COMPARED_PYTHON, WAYS / "contract_gate.py", drop, target]
        measured = run_program(command, folder)
        shutil.rmtree(target)
        found = json.loads(measured.output)
        if found["rejected_total"] or found["accepted_total"] <= size:  # users and compounds, too
            sys.exit(f"Floe does not accept all rows of a drop without faults: {found}")
        return measured.facts()

    sides = {"checked": partial(check, drop), "guessed": guess, "Floe": sort_out}
    for number, form in enumerate(FORMS):
        target = folder / f"form-{number}"
        run_python("benchmarks.forms", drop, target, form, folder=folder)
        sides[form] = partial(check, target)
    return in_rounds(rounds, sides, {"experiments": size})


def sides_of(
    server: Server, drop: Path, folder: Path, settings: Mapping[str, str]
) -> dict[str, Callable[[], Facts]]:
    """Returns the function that measures each side; the settings are for ours."""
    return {
        "ours": partial(_run_ours, server, drop, folder, settings),
        "bare DuckDB": partial(run_duckdb, drop, folder),
        "published way": partial(_run_way, server, "published.py", drop, folder),
        "COPY and SQL": partial(_run_way, server, "copy_and_sql.py", drop, folder),
        "dlt": partial(_run_way, server, "general_loader.py", drop, folder, "rows"),
        "dlt with Arrow": partial(_run_way, server, "general_loader.py", drop, folder, "arrow"),
    }


def run_pipeline(
    url: str,
    drop: Path,
    folder: Path,
    *options: str,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Facts:
    """Runs the pipeline from the command line; the facts include the seconds of its stages."""
    arguments = ["--json", *(["--database-url", url] if url else ["--dry-run"]), *options]
    measured = run_python("experiment_features", "run", drop, *arguments, folder=folder, **settings)
    result = json.loads(measured.output)
    return {**measured.facts(), "stages": result["seconds"], "status": result["status"]}


def _run_ours(server: Server, drop: Path, folder: Path, settings: Mapping[str, str]) -> Facts:
    with server.database() as name:
        url = server.url(name, "features_writer")
        facts = run_pipeline(url, drop, folder, settings=settings)
        counts = server.ask(name, _COUNTS)[0]
    return {**facts, "counts": dict(zip(("users", "experiments", "uses"), counts, strict=True))}


def run_duckdb(drop: Path, folder: Path) -> Facts:
    """Runs DuckDB's bare query over a drop."""
    measured = run_python(WAYS / "bare_duckdb.py", drop, folder / "features.parquet", folder=folder)
    return {**measured.facts(), "counts": json.loads(measured.output)}


def _run_way(server: Server, script: str, drop: Path, folder: Path, *arguments: str) -> Facts:
    python = COMPARED_PYTHON if script == "general_loader.py" else sys.executable
    with server.database(empty=True) as name:
        command = [python, WAYS / script, drop, server.url(name), *arguments]
        measured = run_program(command, folder, DLT_DATA_DIR=str(folder / "dlt"))
    return {**measured.facts(), "counts": json.loads(measured.output.splitlines()[-1])}


def check_agreement(rows: list[Facts]) -> None:
    """Stops the benchmark if two sides disagree on the counts of a drop."""
    known: Facts = {}
    for row in rows:
        for name, number in row.pop("counts").items():
            if known.setdefault(name, number) != number:
                sys.exit(f"{row['side']} finds {number} {name} where others find {known[name]}")
