"""How fresh the features are, and whether the newest drop was loaded: for people and monitors."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from experiment_features.load.database import Connection
from experiment_features.report.page_queries import find_last_load
from experiment_features.report.paging import Row, fetch, read_sql

_COLUMNS = ("run_id", "source", "status", "started_at", "finished_at")

Colour = Literal["green", "amber", "red"]

_WORDS: dict[Colour, str] = {
    "green": "Up to date",
    "amber": "The newest drop was not loaded",
    "red": "Out of date",
}


@dataclass(frozen=True)
class Freshness:
    """The state of the features at a moment."""

    now: datetime
    """By the clock of the database, which also wrote the others."""
    deadline_hours: int
    loaded: Row | None
    """The last load: run_id, source, status, started_at, finished_at."""
    checked: Row | None
    """The last run that loaded its drop, or found that it had been loaded: the same."""
    newest: Row | None
    """The newest run that has ended and was not skipped: the same."""
    running: Row | None
    """A run in progress: the same."""
    next_run_at: datetime | None
    """When Airflow will start the next run by itself, as far as it knows."""

    @property
    def is_stale(self) -> bool:
        """Whether no run has succeeded for so long, and none is trying."""
        oldest = self.now - timedelta(hours=self.deadline_hours)
        is_trying = self.running is not None and self.running["started_at"] > oldest
        return (self.checked is None or self.checked["finished_at"] < oldest) and not is_trying

    @property
    def is_failed(self) -> bool:
        """Whether the newest run left its drop out."""
        return self.newest is not None and self.newest["status"] not in ("loaded", "unchanged")

    @property
    def colour(self) -> Colour:
        """Green if all is well, else what is worst."""
        return "red" if self.is_stale else "amber" if self.is_failed else "green"

    @property
    def words(self) -> str:
        """The same in words."""
        return _WORDS[self.colour] if self.checked else "Nothing has been loaded yet"

    @property
    def age_seconds(self) -> float | None:
        """How long ago the features were loaded; 0 if the clock was ahead then."""
        if self.loaded is None:
            return None
        loaded_at: datetime = self.loaded["finished_at"]
        return max(0.0, (self.now - loaded_at).total_seconds())

    def as_json(self) -> dict[str, Any]:
        """What a monitor gets; docs/page.md describes it."""
        return {
            "state": self.colour,
            "words": self.words,
            "is_stale": self.is_stale,
            "is_failed": self.is_failed,
            "age_seconds": self.age_seconds,
            "deadline_hours": self.deadline_hours,
            "loaded": self.loaded,
            "checked": self.checked,
            "newest": self.newest,
            "next_run_at": self.next_run_at,
        }


def find_freshness(
    connection: Connection, deadline_hours: int, next_run_at: datetime | None
) -> Freshness:
    """The state of the features now."""

    def newest(*statuses: str) -> Row:
        (found,) = fetch(connection, read_sql("select_newest_run"), {"statuses": list(statuses)})
        return found

    checked, running = newest("loaded", "unchanged"), newest("running")
    ended = newest("loaded", "unchanged", "rejected", "held", "refused", "failed")
    last = find_last_load(connection)
    return Freshness(
        now=ended["now"],
        deadline_hours=deadline_hours,
        loaded=last and {name: last[name] for name in _COLUMNS},
        next_run_at=next_run_at,
        **{
            name: {column: run[column] for column in _COLUMNS} if run["run_id"] else None
            for name, run in {"checked": checked, "newest": ended, "running": running}.items()
        },
    )
