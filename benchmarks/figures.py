"""The figures of docs/performance.md, computed from the results; no figure is typed by hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

Facts = dict[str, Any]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Result:
    """One measurement: what it was made on, and its rows."""

    measured: Facts
    rows: list[Facts]
    more: Facts

    def of(self, side: str, **about: Any) -> list[Facts]:
        """The rows of a side, one a round."""
        wanted = {"side": side, **about}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def values(self, name: str) -> list[Any]:
        """What a column holds, each value once, in the order of the rows."""
        return list(dict.fromkeys(row[name] for row in self.rows))

    def median(self, column: str, side: str, **about: Any) -> float | None:
        """The median of the rounds; None where it was not measured."""
        found = [row[column] for row in self.of(side, **about)]
        return median(found) if found else None

    def stage(self, stage: str, side: str, **about: Any) -> float | None:
        """The median seconds of a stage."""
        found = [row["stages"][stage] for row in self.of(side, **about)]
        return median(found) if found else None

    def ratio(self, side: str, other: str, value: Callable[[Facts], float], **about: Any) -> Any:
        """The median over the rounds of one side divided by the other, in the same round."""
        pairs = zip(self.of(side, **about), self.of(other, **about), strict=False)
        found = [value(one) / value(two) for one, two in pairs]
        return median(found) if found else None


def read_results(folder: Path = RESULTS) -> dict[str, Result]:
    """All results by name; a measurement that was not made has no rows."""
    results = {}
    for name in ("runs", "checks", "load", "engines", "latency"):
        path = folder / f"{name}.json"
        facts = json.loads(path.read_text()) if path.exists() else {"measured": {}, "rows": []}
        results[name] = Result(facts.pop("measured"), facts.pop("rows"), facts)
    return results


def seconds_of(row: Facts) -> float:
    """How long the whole program took."""
    return float(row["seconds"])


def load_seconds_of(row: Facts) -> float:
    """How long the load took: the stage of a run, or the whole of what it is compared with."""
    return float(row["stages"]["load"] if "stages" in row else row["seconds"])


def extract_seconds_of(row: Facts) -> float:
    """How long reading took: the stage of a run, or the whole of what it is compared with."""
    return float(row["stages"]["extract"] if "stages" in row else row["seconds"])


@dataclass(frozen=True)
class Target:
    """A bound on a figure; the figure is None when it was not measured."""

    what: str
    bound: float
    figure: float | None
    unit: str = "times"
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps to the bound."""
        if self.figure is None:
            return False
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


def targets(results: dict[str, Result], switch_rows: int) -> list[Target]:
    """All targets; ``switch_rows`` is where `auto` goes from pandas to DuckDB."""
    runs, load, latency = results["runs"], results["load"], results["latency"]
    million, ten, hundred = 10**6, 10**7, 10**8
    long, short = (runs.median("seconds", "ours", experiments=n) for n in (hundred, ten))
    memory = latency.more.get("memory_mib")
    parses = latency.more.get("parse_seconds")
    small = [n for n in results["engines"].values("experiments") if n <= switch_rows]
    pandas_peak = results["engines"].median("peak_mib", "pandas", experiments=max(small, default=0))
    return [
        Target(
            "10 million experiments: the whole run, by bare DuckDB's one query",
            3,
            runs.ratio("ours", "bare DuckDB", seconds_of, experiments=ten),
        ),
        Target(
            "10 million experiments: peak memory",
            2048,
            runs.median("peak_mib", "ours", experiments=ten),
            "MiB",
        ),
        Target(
            "100 million experiments: peak memory",
            4096,
            runs.median("peak_mib", "ours", experiments=hundred),
            "MiB",
        ),
        Target(
            "100 million experiments: the whole run, by that of 10 million",
            12,
            long / short if long and short else None,
        ),
        Target(
            "1 million experiments: the published way, by the whole run",
            2,
            runs.ratio("published way", "ours", seconds_of, experiments=million),
            at_least=True,
        ),
        Target(
            "1 million experiments: dlt, by the whole run",
            20,
            runs.ratio("dlt", "ours", seconds_of, experiments=million),
            at_least=True,
        ),
        Target(
            "10 million experiments: reading and checking, by DuckDB guessing the types",
            3,
            results["checks"].ratio("checked", "guessed", seconds_of, experiments=ten),
        ),
        Target(
            "1 million new users: load, by a bare COPY",
            3,
            load.ratio("new", "bare COPY", load_seconds_of, users=million),
        ),
        Target(
            "1 million users, the same again: load, by a bare COPY",
            3,
            load.ratio("identical", "bare COPY", load_seconds_of, users=million),
        ),
        Target(
            "A drop that is known: its extract, by hashing its files",
            1.5,
            load.ratio("unchanged", "hashing", extract_seconds_of, users=million),
        ),
        Target("pandas on the largest of its drops: peak memory", 1024, pandas_peak, "MiB"),
        Target(
            "The sample drop through Airflow, by a DAG of four empty tasks",
            1.25,
            latency.ratio("pipeline", "empty", seconds_of),
        ),
        Target(
            "Parsing the DAG, beyond `import airflow.sdk`",
            0.5,
            median(parses) if parses else None,
            "s",
        ),
        Target(
            "The idle local stack: proportional set size",
            1536,
            sum(memory.values()) if memory else None,
            "MiB",
        ),
    ]
