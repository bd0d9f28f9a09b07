"""Writes docs/performance.md, its plots, and the figures of docs/scaling.md from the results.

    python -m benchmarks.report

tests/unit/test_performance_page.py fails when one of the pages is out of date.
"""

import re
import subprocess
from pathlib import Path
from statistics import median

from benchmarks import prose
from benchmarks.deltas import DELTAS
from benchmarks.engines import PANDAS_TO, SPARK_FROM
from benchmarks.figures import (
    DEFAULT_SIDE,
    Result,
    Target,
    engine_seconds_of,
    extract_seconds_of,
    load_seconds_of,
    read_results,
    seconds_of,
    start_seconds_of,
    targets,
)
from benchmarks.growth import rows_of_growth
from benchmarks.measure import COMPARED_PYTHON, ROOT
from benchmarks.runs import ONCE, SPARING
from benchmarks.spark import HEAP
from experiment_features.engines.choose import LARGE_DROP_ROWS
from experiment_features.run import STAGES

PAGE = ROOT / "docs" / "performance.md"
SCALING = ROOT / "docs" / "scaling.md"
_GROWTH = re.compile(
    r"(<!-- growth: written by benchmarks/run\.sh -->\n).*?(<!-- end -->)", re.DOTALL
)

_LATENCY_SIDES = ("pipeline", "empty", DEFAULT_SIDE)

Cell = float | int | str | None


def page() -> str | None:
    """Returns the page, without sections that were not measured; None without results."""
    results = read_results()
    if not any(result.rows for result in results.values()):
        return None
    sections = {
        "runs": lambda: _runs(results["runs"]),
        "deltas": lambda: _deltas(results["deltas"]),
        "checks": lambda: _checks(results["checks"]),
        "load": lambda: _load(results["load"]),
        "engines": lambda: _engines(results["engines"]),
        "latency": lambda: _latency(results["latency"]),
    }
    return "{}\n".format(
        _joined(
            prose.INTRODUCTION,
            _targets(targets(results, LARGE_DROP_ROWS)),
            *(section() for name, section in sections.items() if results[name].rows),
            _circumstances(results),
        )
    )


def scaling() -> str:
    """Returns docs/scaling.md with its figures written anew."""
    header = ["what", "10 million", "100 million", "1 billion", "10 billion", "rule beyond"]
    figures = _table(header, [[*row] for row in rows_of_growth(read_results())])
    return _GROWTH.sub(
        lambda found: f"{found[1]}{figures}\n{found[2]}", SCALING.read_text(encoding="utf-8")
    )


def _targets(all_targets: list[Target]) -> str:
    rows: list[list[Cell]] = []
    for target in all_targets:
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:g}"
        unit = " x" if target.unit == "times" else f" {target.unit}"
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
    return _joined(
        prose.RUNS,
        _table(header, rows),
        prose.WAYS,
        _table(["experiments", *others], ratios),
        "Peak memory in MiB, not counting PostgreSQL:",
        _table(["experiments", "pipeline", *others], peaks),
    )


def _deltas(deltas: Result) -> str:
    rows: list[list[Cell]] = []
    for size in deltas.values("experiments"):
        sides = [side for side in deltas.values("side") if deltas.of(side, experiments=size)]
        for delta in (side for side in sides if side != "bare DuckDB"):
            stages = [deltas.stage(stage, delta, experiments=size) for stage in STAGES]
            seconds = deltas.median("seconds", delta, experiments=size)
            peak = deltas.median("peak_mib", delta, experiments=size)
            vs = None
            if delta in DELTAS:  # no other took turns with it
                ratio = deltas.ratio(delta, "bare DuckDB", seconds_of, experiments=size)
                vs = f"{_number(ratio)} x"
            rows.append([size, delta, seconds, *stages, vs, peak])
    header = ["experiments", "delta", "seconds", *STAGES, "vs. bare DuckDB", "peak, MiB"]
    return _joined(prose.DELTAS, _table(header, rows))


def _checks(checks: Result) -> str:
    rows: list[list[Cell]] = []
    for size in checks.values("experiments"):
        for side in checks.values("side"):
            told = {"checked": "plain CSV", "guessed": "DuckDB, guessing the types"}.get(side, side)
            seconds, cpu, peak = (
                checks.median(name, side, experiments=size)
                for name in ("seconds", "cpu_seconds", "peak_mib")
            )
            ratio = checks.ratio(side, "checked", seconds_of, experiments=size)
            rows.append([size, told, seconds, f"{_number(ratio)} x", cpu, peak])
    header = ["experiments", "what", "seconds", "vs. plain CSV", "CPU s", "peak, MiB"]
    return _joined(prose.CHECKS, _table(header, rows))


def _load(load: Result) -> str:
    sides = {
        "new": "all users are new",
        "identical": "the same users again (`force`)",
        "changed": "every user has other features",
        "renamed": "every user has another name",
    }
    rows: list[list[Cell]] = []
    for users in load.values("users"):
        rows += [
            [users, told, load.stage("load", side, users=users), _by_copy(load, side, users)]
            for side, told in sides.items()
        ]
        known = load.stage("extract", "unchanged", users=users)
        hashing = load.ratio("unchanged", "hashing", extract_seconds_of, users=users)
        told = f"a known drop: `extract`, {_number(hashing)} x hashing its files"
        rows.append([users, told, known, None])
    return _joined(prose.LOAD, _table(["users", "load", "seconds", "vs. bare COPY"], rows))


def _by_copy(load: Result, side: str, users: int) -> str:
    return f"{_number(load.ratio(side, 'bare COPY', load_seconds_of, users=users))} x"


def _engines(engines: Result) -> str:
    rows: list[list[Cell]] = []
    for size in engines.values("experiments"):
        for side in engines.values("side"):
            if engines.has_failed(side, experiments=size):
                rows.append([size, side, "failed", *[None] * 6])
            if not (found := engines.of(side, experiments=size)):
                continue
            start = median(map(start_seconds_of, found))
            of = [engines.stage(stage, side, experiments=size) for stage in STAGES[1:3]]
            whole = engines.median("seconds", side, experiments=size)
            ratio = engines.ratio(side, "duckdb", seconds_of, experiments=size)
            used: list[Cell] = [None, None]
            if side != "spark" or "has_java" in found[0]:  # not without its Java
                used = [
                    engines.median(name, side, experiments=size)
                    for name in ("cpu_seconds", "peak_mib")
                ]
            vs = None if side == "duckdb" else f"{_number(ratio)} x"
            rows.append([size, side, start, *of, whole, vs, *used])
    header = ["experiments", "engine", "start-up", *STAGES[1:3], "whole dry run", "vs. duckdb"]
    server = engines.median("server_seconds", "spark connect")
    limits = prose.ENGINES.format(
        rows=LARGE_DROP_ROWS, pandas_to=PANDAS_TO, spark_from=SPARK_FROM, heap=HEAP
    )
    return _joined(
        limits,
        _table([*header, "CPU s", "peak, MiB"], rows),
        prose.SERVER.format(seconds=_number(server)) if server else "",
        prose.PAYS,
        "\n".join(pays(engines, side) for side in engines.values("side") if side != "duckdb"),
    )


def pays(engines: Result, side: str) -> str:
    """Returns from which size on an engine is faster than DuckDB, and by how much."""
    sizes = engines.values("experiments")
    failed = [size for size in sizes if engines.has_failed(side, experiments=size)]
    found = {n: engines.ratio(side, "duckdb", seconds_of, experiments=n) for n in sizes}
    ratios = {size: ratio for size, ratio in found.items() if ratio is not None}
    if not ratios:
        return f"- **{side}** failed at {failed[0]:,}"
    last = max(ratios)
    slower = [size for size, ratio in ratios.items() if ratio >= 1]
    faster = [size for size, ratio in ratios.items() if ratio < 1]
    if not slower:
        told = "pays at every size measured"
    elif not faster:
        told = "pays at no size measured"
    elif min(faster) > max(slower):
        told = f"pays from {min(faster):,} on"
    elif max(faster) < min(slower):
        told = f"pays up to {max(faster):,}"
    else:
        told = f"pays at {', '.join(f'{size:,}' for size in faster)}"
    work = engines.ratio(side, "duckdb", engine_seconds_of, experiments=last)
    told += f"; at {last:,}, the whole takes {_number(ratios[last])} x as long as on duckdb"
    told += f", `validate` and `transform` alone {_number(work)} x"
    if failed:
        told += f"; it fails at {', '.join(f'{size:,}' for size in failed)}"
    return f"- **{side}** {told}."


def _latency(latency: Result) -> str:
    parts: list[list[Cell]] = [
        [part, *(_part(latency, part, side) for side in _LATENCY_SIDES)]
        for part in (latency.rows[0]["parts"] if latency.rows else {})
    ]
    for name, column in (("**from POST to the end**", "seconds"), ("CPU seconds", "cpu_seconds")):
        sides = [latency.median(column, side) for side in _LATENCY_SIDES]
        parts.append([name, *sides])
    memory = latency.more.get("memory_mib", {})
    rows: list[list[Cell]] = [[name, mib] for name, mib in sorted(memory.items())]
    return _joined(
        prose.LATENCY,
        _table(["where the time goes", "pipeline", "empty tasks", "empty tasks by default"], parts),
        prose.MEMORY,
        _table(["process", "MiB"], rows),
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
        rounds = max(result.values("round"))
        rows.append([name, m["date"], f"`{m['commit']}`", rounds, machine, versions])
    header = ["measurement", "date", "commit", "rounds", "machine", "versions"]
    return _joined(
        prose.MEASURED.format(once=ONCE, limit=SPARING["EXPERIMENT_FEATURES_MEMORY_LIMIT"]),
        _table(header, rows),
    )


def _joined(*parts: str) -> str:
    """Joins the parts that are not empty with empty lines."""
    return "\n\n".join(part.strip() for part in parts if part)


def _table(header: list[str], rows: list[list[Cell]]) -> str:
    """Formats a table; columns of numbers are right-aligned."""
    first = rows[0] if rows else header
    ruler = "|".join("---" if isinstance(cell, str) else "---:" for cell in first)
    lines = [" | ".join(map(_number, row)) for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", f"|{ruler}|", *(f"| {x} |" for x in lines)])


def _number(value: Cell) -> str:
    """Formats a figure with three significant digits or so."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


if __name__ == "__main__":
    if written := page():
        PAGE.write_text(written, encoding="utf-8")
        SCALING.write_text(scaling(), encoding="utf-8")
    plots = Path(__file__).with_name("plots.py")
    subprocess.run([COMPARED_PYTHON, plots], check=True)
