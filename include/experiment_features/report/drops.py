"""What became of each drop that was announced or loaded, from the ledger and what has arrived."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.types.json import Jsonb

from experiment_features.load.database import Connection
from experiment_features.load.ledger import FailedDrop, find_failed
from experiment_features.report.paging import fetch, read_sql

RUNS = 1_000
"""How many of the latest runs are looked at."""


@dataclass(frozen=True)
class Arrival:
    """A drop that was announced, and what runs have noted about it."""

    source: str
    at: datetime
    """When it was last announced."""
    state: Literal["new", "waiting", "taken", "unknown"]
    """Unknown: of a drop without a marker, nothing is noted; the ledger says if a run has begun."""
    run_id: str | None = None
    """The run that took it, or found that it has to wait."""
    behind: tuple[str, ...] = ()
    """Of a drop that waits, the drops before it that runs have taken."""


@dataclass(frozen=True)
class Drop:
    """A drop, and what became of it."""

    source: str
    status: str
    """That of its last run (see ledger), new or waiting."""
    at: datetime
    """When that run began, or when the drop was announced."""
    run_id: str | None = None
    mode: str = "auto"
    """What the run was told about the drop."""
    blocker: FailedDrop | None = None
    """The drop for which a delta waits, as far as it is known."""

    @property
    def is_loaded(self) -> bool:
        """Whether its last run loaded it, or found it loaded."""
        return self.status in ("loaded", "unchanged")


def find_drops(connection: Connection, arrivals: Sequence[Arrival]) -> list[Drop]:
    """The drops that no run has taken yet, by their paths, and then those of the latest runs."""
    taken = {arrival.run_id: arrival.source for arrival in arrivals if arrival.state == "taken"}
    rows = fetch(connection, read_sql("select_drops"), {"taken": Jsonb(taken), "rows": RUNS})
    runs = {
        row["source"]: Drop(
            row["source"], row["status"], row["started_at"], row["run_id"], row["mode"] or "auto"
        )
        for row in rows
    }
    behind = {source for arrival in arrivals for source in arrival.behind}
    unloaded = [source for source in sorted(behind & runs.keys()) if not runs[source].is_loaded]
    failed = find_failed(connection, unloaded) if unloaded else []
    waiting: list[Drop] = []
    for arrival in sorted(arrivals, key=lambda arrival: arrival.source):
        run = runs.get(arrival.source)
        if arrival.state == "taken" or (
            arrival.state == "unknown" and run and run.at >= arrival.at
        ):
            continue
        status = "waiting" if arrival.state == "waiting" else "new"
        blocker = next((each for each in failed if each.source in arrival.behind), None)
        waiting.append(Drop(arrival.source, status, arrival.at, arrival.run_id, blocker=blocker))
    sources = {drop.source for drop in waiting}
    return [*waiting, *(drop for drop in runs.values() if drop.source not in sources)]
