"""Shows where one engine overtakes another, and what Spark costs on a single machine."""

import shutil
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import Facts, in_rounds
from benchmarks.runs import make_drop, run_pipeline

SPARK_FROM = 1_000_000
"""With smaller drops, only the startup of Spark would be measured."""


def measure_engines(folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Measures dry runs of all sizes on every engine; on Spark, if installed, large ones only."""
    rows = []
    has_spark = bool(shutil.which("java") and find_spec("pyspark"))
    if not has_spark:
        print("Skipping Spark: it needs Java and scripts/setup.sh --spark", file=sys.stderr)
    for size in sizes:
        drop = make_drop(folder, size)
        names = ["pandas", "duckdb"] + ["spark"] * (has_spark and size >= SPARK_FROM)
        sides = {name: partial(run_pipeline, "", drop, folder, "--engine", name) for name in names}
        rows += in_rounds(rounds, sides, {"experiments": size})
    return rows
