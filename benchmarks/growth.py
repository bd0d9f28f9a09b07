"""Scales what was measured to sizes that were not, for docs/scaling.md, by rules that it states."""

from statistics import median

from benchmarks.deltas import DELTAS
from benchmarks.figures import Facts, Result, start_seconds_of
from experiment_features.run import STAGES

MEASURED = (10**7, 10**8)
SCALED = (10**9, 10**10)

MACHINE_HOUR = 0.20
"""An assumption: what an hour of a machine such as the measured one costs (2 cores, 24 GiB)."""
GIGABYTE_MONTH = 0.025
"""An assumption: what a gigabyte in object storage costs in a month."""

PART_BYTES = 10.7
"""What a part takes per experiment, users included (docs/store.md)."""

_TENFOLD = 10
_STEP = "what the last measured tenfold cost, at least 10 x"
_EXPERIMENTS_PER_USER = 100

Figure = float | None


def rows_of_growth(results: dict[str, Result]) -> list[list[str | None]]:
    """Returns one row for each figure: its values by size, and the rule of those not measured."""
    runs, deltas, load = results["runs"], results["deltas"], results["load"]
    start = [_start_of(runs.of("ours", experiments=n)) for n in MEASURED]
    rows: list[list[str | None]] = []
    whole: list[Figure] = [*start, start[-1], start[-1]]
    for stage in STAGES:
        seconds = _grown([runs.stage(stage, "ours", experiments=n) for n in MEASURED])
        whole = [_sum(*pair) for pair in zip(whole, seconds, strict=True)]
        rows.append([f"`{stage}`", *map(_duration, seconds), _STEP])
    rows.append(["**first load, whole**", *map(_duration, whole), "their sum"])
    users = [size // _EXPERIMENTS_PER_USER for size in (*MEASURED, *SCALED)]
    for side, told in (("new", "new"), ("changed", "changed")):
        measured = load.stage("load", side, users=10**6)
        seconds = [_times(measured, n / 10**6) for n in users]
        told = f"`load`, every user {told}"
        rows.append([told, *map(_duration, seconds), "per user, from 1 million users"])
    for side in (side for side in deltas.values("side") if side in DELTAS):
        seconds = _grown([deltas.median("seconds", side, experiments=n) for n in MEASURED])
        rows.append([f"delta, {side}", *map(_duration, seconds), _STEP])
    drop = [runs.median("drop_bytes", "ours", experiments=n) for n in MEASURED]
    sizes = [*drop, *(_times(drop[-1], n / MEASURED[-1]) for n in SCALED)]
    rows.append(["text of the drop", *map(_gigabytes, sizes), "per experiment"])
    parts = [n * PART_BYTES for n in (*MEASURED, *SCALED)]
    rows.append(["its parts in the store", *map(_gigabytes, parts), "per experiment"])
    machine = [_times(seconds, MACHINE_HOUR / 3600) for seconds in whole]
    rule = f"{MACHINE_HOUR:.2f} per machine and hour"
    rows.append(["price of the first load", *map(_price, machine), rule])
    stored = [_times(bytes_, GIGABYTE_MONTH / 10**9) for bytes_ in parts]
    rule = f"{GIGABYTE_MONTH:.3f} per GB and month"
    rows.append(["price of the parts, a month", *map(_price, stored), rule])
    return rows


def _start_of(rows: list[Facts]) -> Figure:
    return median(map(start_seconds_of, rows)) if rows else None


def _grown(measured: list[Figure]) -> list[Figure]:
    """Adds the sizes that were not measured: each tenfold costs as much as the last one did."""
    ten, hundred = measured
    if not ten or not hundred:
        return [*measured, None, None]
    step = max(hundred / ten, _TENFOLD)
    return [ten, hundred, hundred * step, hundred * step**2]


def _sum(*figures: Figure) -> Figure:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None


def _times(figure: Figure, factor: float) -> Figure:
    return None if figure is None else figure * factor


def _duration(seconds: Figure) -> str | None:
    if seconds is None:
        return None
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{_figures(seconds / length)} {unit}"
    return f"{_figures(seconds)} s"


def _gigabytes(bytes_: Figure) -> str | None:
    return None if bytes_ is None else f"{_figures(bytes_ / 10**9)} GB"


def _price(price: Figure) -> str | None:
    return None if price is None else f"{price:.2f}"


def _figures(number: float) -> str:
    """Returns a number with two significant digits: more would promise what nobody measured."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"
