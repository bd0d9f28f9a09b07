"""Runs the benchmarks and writes docs/performance.md: see run.sh and the page itself."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import measure
from benchmarks.deltas import measure_deltas
from benchmarks.engines import measure_engines
from benchmarks.latency import measure_latency
from benchmarks.load import measure_load
from benchmarks.postgres import running_server
from benchmarks.runs import measure_checks, measure_runs

SIZES = {
    "runs": [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000],
    "checks": [10_000_000],
    "deltas": [10_000_000, 100_000_000],
    "load": [1_000_000],
    "engines": [
        10_000,
        30_000,
        100_000,
        300_000,
        1_000_000,
        3_000_000,
        10_000_000,
        100_000_000,
    ],
    "latency": [],
}
"""What can be measured, and for how many experiments (users, for the load)."""

LATENCY_TURNS = 3
"""Runs through Airflow are short, so each round has several."""


def main() -> None:
    """Measures in a temporary folder; nothing is left running in it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    options = _parser().parse_args()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=options.folder) as folder:
            Path(folder).chmod(0o711)  # PostgreSQL runs as another user when root starts it
            measure_one(name, Path(folder).resolve(), options)
    if options.results == measure.RESULTS:
        measure.run_python("benchmarks.report", folder=Path(tempfile.gettempdir()))


def measure_one(name: str, folder: Path, options: argparse.Namespace) -> None:
    """Runs one benchmark and saves its figures."""
    sizes, rounds = options.sizes or SIZES[name], options.rounds
    print(f"== {name}", file=sys.stderr)
    more: measure.Facts = {}
    if name == "latency":
        rows, more = measure_latency(folder, options.port, rounds * LATENCY_TURNS)
    elif name == "engines":
        rows = measure_engines(folder, sizes, rounds)
    elif name == "checks":
        rows = measure_checks(folder, max(sizes), rounds)
    else:
        with running_server(folder) as server:
            if name == "load":
                rows = measure_load(server, folder, max(sizes), rounds)
            elif name == "deltas":
                rows = measure_deltas(server, folder, sizes, rounds)
            else:
                rows = measure_runs(server, folder, sizes, rounds)
    measure.save(options.results / f"{name}.json", rows, **more)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.sh", add_help=False)  # run.sh answers it
    parser.add_argument("--only", type=_names, default=list(SIZES))
    parser.add_argument("--sizes", type=_numbers)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--results", type=Path, default=measure.RESULTS)
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",") if text else []
    if unknown := set(names) - set(SIZES):
        raise argparse.ArgumentTypeError(f"unknown benchmarks: {', '.join(sorted(unknown))}")
    return names


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
