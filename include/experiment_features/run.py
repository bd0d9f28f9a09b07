"""A run: what it is asked to do, what its stages hand on, and its result.

Stages record what they find out in the workspace, as JSON. A workspace may have been written by an
earlier version, so a field that is added gets a default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any, ClassVar

from experiment_features.drop.files import DropFile

STAGES = ("extract", "validate", "transform", "load")


@dataclass(frozen=True)
class Run:
    """What is known of a run before it begins."""

    run_id: str
    trigger: str
    """scheduled, manual, api, asset, backfill or cli."""

    started_at: datetime
    today: date
    """The day that the rules take for today, UTC: a run that is repeated later finds the same."""

    max_rejected_percent: float = 10
    allow_empty: bool = False
    force: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that decide what a drop becomes; with other ones it is loaded again."""
        return {
            "max_rejected_percent": self.max_rejected_percent,
            "allow_empty": self.allow_empty,
        }


@dataclass(frozen=True)
class Extracted:
    """What extract found."""

    stage: ClassVar[str] = "extract"

    source: str
    files: Sequence[DropFile]
    rows: Mapping[str, int]
    """Per table."""
    is_unchanged: bool
    """Whether the files are those of the last load, and so nothing was written."""
    rising_keys: Sequence[str] = ()
    """Tables that are known to have no id twice, since it rises row by row."""

    def counts(self) -> dict[str, Any]:
        """What the log, the metrics and the next task are told."""
        return {"rows": dict(self.rows), "is_unchanged": self.is_unchanged}


@dataclass(frozen=True)
class Validated:
    """What validate found."""

    stage: ClassVar[str] = "validate"

    rejected: Mapping[str, int]
    """Rows per table."""
    rejected_rows: int
    warnings: int
    """Issues that reject nothing."""
    rules: Mapping[str, int]
    """Issues per rule, as ``table.rule``."""

    def counts(self) -> dict[str, Any]:
        """What the log, the metrics and the next task are told."""
        return {"rejected": dict(self.rejected), "warnings": self.warnings}


@dataclass(frozen=True)
class Transformed:
    """What transform computed: valid rows, and the one feature of the run."""

    stage: ClassVar[str] = "transform"

    users: int
    experiments: int
    compounds: int
    average_experiments_per_user: float | None
    """Experiments divided by users; None without users."""
    engine: str

    def counts(self) -> dict[str, Any]:
        """What the log, the metrics and the next task are told."""
        return {name: v for name, v in asdict(self).items() if not name.startswith("average")}


@dataclass(frozen=True)
class Result:
    """The result of a run, as the API, the DAG and the command line give it, in this order."""

    stage: ClassVar[str] = "load"

    run_id: str
    status: str
    """loaded, unchanged, rejected, or ``dry run``."""
    source: str
    engine: str | None = None
    users: int | None = None
    experiments: int | None = None
    compounds: int | None = None
    average_experiments_per_user: float | None = None
    rejected_rows: int | None = None
    warnings: int | None = None
    inserted: int | None = None
    """As updated, deleted and unchanged, of users; None when nobody asked the database."""
    updated: int | None = None
    deleted: int | None = None
    unchanged: int | None = None
    seconds: Mapping[str, float] | None = None
    """Per stage."""

    def counts(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def in_order(self) -> dict[str, Any]:
        """All of it, the seconds in the order of the stages: what JSON has lost."""
        seconds = self.seconds or {}
        return asdict(self) | {
            "seconds": {name: seconds[name] for name in STAGES if name in seconds}
        }

    @classmethod
    def columns(cls) -> list[str]:
        """The fields that the run ledger has a column for."""
        return [field.name for field in fields(cls) if field.name != "seconds"]


StageFacts = Extracted | Validated | Transformed | Result
