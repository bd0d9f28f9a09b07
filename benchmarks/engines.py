"""Shows where one engine overtakes another, on a single machine."""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.figures import FAILED
from benchmarks.measure import Facts, in_rounds
from benchmarks.runs import ONCE, SPARING, make_drop, run_pipeline
from benchmarks.spark import ConnectServer, configure, connect_server, java_watched

PANDAS_TO = 3_000_000
"""With larger drops, pandas would take gigabytes: some 400 bytes per experiment."""

SPARK_FROM = 1_000_000
"""With smaller drops, only the startup of Spark would be measured."""

Side = Callable[[], Facts]


def measure_engines(folder: Path, sizes: list[int], rounds: int) -> list[Facts]:
    """Measures dry runs of all sizes on every engine that is installed and can handle them."""
    rows = []
    for size in sizes:
        drop = make_drop(folder, size)
        settings = SPARING if size >= ONCE else {}
        run = partial(run_pipeline, "", drop, folder, "--engine")
        names = ["pandas"] * (size <= PANDAS_TO) + ["duckdb"]
        sides: dict[str, Side] = {name: partial(run, name, settings=settings) for name in names}
        with spark_sides(folder, partial(run, "spark"), settings, size) as on_spark:
            turns = rounds if size < ONCE else 1
            rows += in_rounds(turns, {**sides, **on_spark}, {"experiments": size})
        shutil.rmtree(drop)
    return rows


@contextmanager
def spark_sides(
    folder: Path, run: Callable[..., Facts], settings: Mapping[str, str], size: int
) -> Iterator[dict[str, Side]]:
    """Yields what measures each way to run Spark; a server of Spark Connect is up meanwhile."""
    if size < SPARK_FROM:
        yield {}
        return
    on_sail = {**settings, "EXPERIMENT_FEATURES_SPARK_MASTER": "sail"}
    sail: dict[str, Side] = {"sail": partial(attempt, partial(run, settings=on_sail))}
    if not (shutil.which("java") and find_spec("py4j")):
        print("Skipping Spark: it needs Java and scripts/setup.sh --spark", file=sys.stderr)
        yield sail
        return
    environment = {**settings, **configure(folder)}
    with connect_server(folder, environment) as server:
        on_java = partial(run_on_java, run, environment)
        yield {
            "spark": partial(attempt, partial(on_java, "local[*]")),
            "spark connect": partial(attempt, partial(on_java, server.url, server)),
            **sail,
        }


def attempt(side: Side) -> Facts:
    """Measures a side; a failure is a result as well: the drop may be too large for it."""
    try:
        return side()
    except (SystemExit, OSError) as error:
        print(error, file=sys.stderr)
        return {"status": FAILED}


def run_on_java(
    run: Callable[..., Facts],
    environment: Mapping[str, str],
    master: str,
    server: ConnectServer | None = None,
) -> Facts:
    """Measures a run on Spark; CPU and memory are those of the program and of its Java."""
    settings = {**environment, "EXPERIMENT_FEATURES_SPARK_MASTER": master}
    with java_watched(server) as java:
        facts = run(settings=settings)
    both = {name: round(facts[name] + java[name], 3) for name in java}
    start = {"server_seconds": server.start_seconds} if server else {}
    return {**facts, **both, **start, "has_java": True}
