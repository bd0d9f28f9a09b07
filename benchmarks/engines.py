"""Where one engine overtakes the other: pandas and DuckDB."""

from functools import partial
from pathlib import Path

from benchmarks.measure import Facts, in_rounds
from benchmarks.runs import make_drop, run_pipeline


def measure_engines(folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Dry runs of drops of every size on both engines."""
    rows = []
    for size in sizes:
        drop = make_drop(folder, size)
        sides = {
            name: partial(run_pipeline, "", drop, folder, "--engine", name)
            for name in ("pandas", "duckdb")
        }
        rows += in_rounds(rounds, sides, {"experiments": size})
    return rows
