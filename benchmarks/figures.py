"""Computes the figures of docs/performance.md from the results; none is typed by hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.forms import FORMS

Facts = dict[str, Any]

RESULTS = Path(__file__).parent / "results"

FAILED = "failed"
"""The status of a run that did not come to its end; it has no figures."""


DEFAULT_SIDE = "empty by default"
"""The empty tasks under Airflow's default settings."""


@dataclass(frozen=True)
class Result:
    """The rows of one measurement, and the circumstances under which they were measured."""

    measured: Facts
    rows: list[Facts]
    more: Facts

    def of(self, side: str, **about: Any) -> list[Facts]:
        """Returns the rows of a side, one per round; not of those that failed."""
        wanted = {"side": side, **about}
        found = [row for row in self.rows if wanted.items() <= row.items()]
        return [row for row in found if row.get("status") != FAILED]

    def has_failed(self, side: str, **about: Any) -> bool:
        """Returns whether a side was measured, and failed each time."""
        wanted = {"side": side, **about}
        return not self.of(side, **about) and any(wanted.items() <= r.items() for r in self.rows)

    def values(self, name: str) -> list[Any]:
        """Returns the distinct values of a column in the order of the rows."""
        return list(dict.fromkeys(row[name] for row in self.rows))

    def median(self, column: str, side: str, **about: Any) -> float | None:
        """Returns the median over the rounds; None if it was not measured."""
        found = [row[column] for row in self.of(side, **about)]
        return median(found) if found else None

    def stage(self, stage: str, side: str, **about: Any) -> float | None:
        """Returns the median seconds of a stage; None if it was not measured."""
        found = [row["stages"][stage] for row in self.of(side, **about)]
        return median(found) if found else None

    def ratio(self, side: str, other: str, value: Callable[[Facts], float], **about: Any) -> Any:
        """Returns the median of the ratios of one side to the other within each round."""
        pairs = zip(self.of(side, **about), self.of(other, **about), strict=False)
        found = [value(one) / value(two) for one, two in pairs]
        return median(found) if found else None


def read_results(folder: Path = RESULTS) -> dict[str, Result]:
    """Returns all results by name; a measurement that was not made has no rows."""
    results = {}
    for name in ("runs", "deltas", "checks", "load", "engines", "latency"):
        path = folder / f"{name}.json"
        facts = json.loads(path.read_text()) if path.exists() else {"measured": {}, "rows": []}
        results[name] = Result(facts.pop("measured"), facts.pop("rows"), facts)
    return results


def seconds_of(row: Facts) -> float:
    """Returns how long the whole program took."""
    return float(row["seconds"])


def start_seconds_of(row: Facts) -> float:
    """Returns what the program took beside its stages: startup, a session on Spark, and its end."""
    return float(row["seconds"]) - sum(row["stages"].values())


def engine_seconds_of(row: Facts) -> float:
    """Returns the time of the two stages that run on an engine."""
    return float(row["stages"]["validate"] + row["stages"]["transform"])


def load_seconds_of(row: Facts) -> float:
    """Returns the time of the load stage, or all the time of what it is compared with."""
    return float(row["stages"]["load"] if "stages" in row else row["seconds"])


def extract_seconds_of(row: Facts) -> float:
    """Returns the time of the extract stage, or all the time of what it is compared with."""
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
        """Whether the figure is within the bound."""
        if self.figure is None:
            return False
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


def _by(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def targets(results: dict[str, Result], switch_rows: int) -> list[Target]:
    """Returns all targets; above ``switch_rows``, `auto` switches from pandas to DuckDB."""
    runs, load, latency = results["runs"], results["load"], results["latency"]
    million, ten, hundred = 10**6, 10**7, 10**8
    long, short = (runs.median("seconds", "ours", experiments=n) for n in (hundred, ten))
    memory = latency.more.get("memory_mib")
    parses = latency.more.get("parse_seconds")
    answers = latency.more.get("answer_seconds")
    small = [n for n in results["engines"].values("experiments") if n <= switch_rows]
    pandas_peak = results["engines"].median("peak_mib", "pandas", experiments=max(small, default=0))
    return [
        *(
            Target(
                f"{size // million} million experiments: whole run vs. bare DuckDB's single query",
                bound,
                runs.ratio("ours", "bare DuckDB", seconds_of, experiments=size),
            )
            for size, bound in ((ten, 1.2), (hundred, 1.3))
        ),
        *(
            Target(
                f"{size // million} million experiments: peak memory",
                bound,
                runs.median("peak_mib", "ours", experiments=size),
                "MiB",
            )
            for size, bound in ((ten, 1536), (hundred, 3584))
        ),
        Target(
            "100 million experiments: whole run vs. that of 10 million",
            12,
            _by(long, short),
        ),
        *(
            Target(
                f"{size:,} experiments: {way} vs. whole run",
                bound,
                runs.ratio(way, "ours", seconds_of, experiments=size),
                at_least=True,
            )
            for size, way, bound in (
                (10_000, "published way", 1.3),
                (100_000, "published way", 2),
                (million, "published way", 3.5),
                (million, "dlt", 35),
            )
        ),
        *(
            Target(
                f"{size // million} million experiments and a delta, {delta}: whole run vs. bare "
                "DuckDB's query",
                bound,
                results["deltas"].ratio(delta, "bare DuckDB", seconds_of, experiments=size),
            )
            for size, delta, bound in (
                (ten, "1 % of the users", 0.2),
                (ten, "a third of the users", 0.4),
                (hundred, "1 % of the users", 0.1),
            )
        ),
        Target(
            "10 million experiments: reading and checking vs. DuckDB guessing the types",
            3,
            results["checks"].ratio("checked", "guessed", seconds_of, experiments=ten),
        ),
        Target(
            "10 million experiments: Floe vs. reading and checking",
            5,
            results["checks"].ratio("Floe", "checked", seconds_of, experiments=ten),
            at_least=True,
        ),
        *(
            Target(
                f"10 million experiments, {form}: reading and checking vs. plain CSV",
                1.6 if form == "gz" else 1.3,
                results["checks"].ratio(form, "checked", seconds_of, experiments=ten),
            )
            for form in FORMS
        ),
        Target(
            "1 million new users: load vs. a bare COPY",
            3,
            load.ratio("new", "bare COPY", load_seconds_of, users=million),
        ),
        Target(
            "1 million unchanged users: load vs. a bare COPY",
            0.5,
            load.ratio("identical", "bare COPY", load_seconds_of, users=million),
        ),
        Target(
            "1 million changed users: load vs. a bare COPY",
            2,
            load.ratio("changed", "bare COPY", load_seconds_of, users=million),
        ),
        Target(
            "A known drop: extract vs. hashing its files",
            1.5,
            load.ratio("unchanged", "hashing", extract_seconds_of, users=million),
        ),
        Target(
            "pandas on the largest drop that `auto` leaves to it: peak memory",
            1024,
            pandas_peak,
            "MiB",
        ),
        Target(
            "The sample drop through Airflow vs. a DAG of four empty tasks",
            1.25,
            latency.ratio("pipeline", "empty", seconds_of),
        ),
        Target(
            "The same vs. those tasks under Airflow's default settings",
            0.45,
            _by(latency.median("seconds", "pipeline"), latency.median("seconds", DEFAULT_SIDE)),
        ),
        Target(
            "The sample drop: its four stages, within Airflow's tasks",
            0.3,
            latency.median("stage_seconds", "pipeline"),
            "s",
        ),
        Target(
            "Parsing the DAG, not counting `import airflow.sdk`",
            0.5,
            median(parses) if parses else None,
            "s",
        ),
        Target(
            "The result of `scripts/trigger_etl.sh`, after the end of the run",
            0.3,
            median(answers) if answers else None,
            "s",
        ),
        Target(
            "The idle local stack: CPU",
            12,
            latency.more.get("idle_percent"),
            "% of a core",
        ),
        Target(
            "The idle local stack: proportional set size",
            1024,
            sum(memory.values()) if memory else None,
            "MiB",
        ),
    ]
