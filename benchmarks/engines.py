"""Where one way of computing overtakes the other: pandas and DuckDB, typing in SQL and compiled.

python -m benchmarks.engines SOURCE sql|compiled      extracts a drop in that way
"""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Facts, in_rounds, run_python
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


def measure_typing(folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Extracts drops of every size with the plain lines typed in SQL and by compiled code."""
    rows = []
    for size in sizes:
        drop = make_drop(folder, size)
        file_bytes = (drop / "user_experiments.csv").stat().st_size
        sides = {how: partial(_extract, drop, how, folder) for how in ("sql", "compiled")}
        sides["compiled"]()  # so that Numba's cache is filled
        rows += in_rounds(rounds, sides, {"experiments": size, "file_bytes": file_bytes})
    return rows


def _extract(drop: Path, how: str, folder: Path) -> Facts:
    measured = run_python("benchmarks.engines", drop, how, folder=folder)
    return {**measured.facts(), "stages": json.loads(measured.output)}


def extract_only(source: Path, how: str) -> float:
    """Extracts a drop in this process, whatever its size, in one of the ways; returns seconds."""
    from experiment_features import extract
    from experiment_features.workspace import Workspace

    extract.LARGE_TABLE_BYTES = 0 if how == "compiled" else sys.maxsize
    with tempfile.TemporaryDirectory() as folder:
        facts = extract.extract(source, Workspace(Path(folder) / "run"))
    return float(facts["seconds"])


if __name__ == "__main__":
    print(json.dumps({"extract": extract_only(Path(sys.argv[1]), sys.argv[2])}))
