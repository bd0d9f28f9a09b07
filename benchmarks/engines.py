"""Where one engine overtakes the other, and what Spark costs on one machine."""

import shutil
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import Facts, in_rounds
from benchmarks.runs import make_drop, run_pipeline

SPARK_FROM = 1_000_000
"""Of smaller drops, nothing would be measured but how Spark starts."""


def measure_engines(folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Dry runs of drops of every size on all engines; on Spark, if it is there, of large ones."""
    rows = []
    has_spark = bool(shutil.which("java") and find_spec("pyspark"))
    if not has_spark:
        print("Spark is not measured: it needs Java, and scripts/setup.sh --spark", file=sys.stderr)
    for size in sizes:
        drop = make_drop(folder, size)
        names = ["pandas", "duckdb"] + ["spark"] * (has_spark and size >= SPARK_FROM)
        sides = {name: partial(run_pipeline, "", drop, folder, "--engine", name) for name in names}
        rows += in_rounds(rounds, sides, {"experiments": size})
    return rows
