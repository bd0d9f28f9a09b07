"""A run: its parameters, what its stages find, and its result.

Each stage records its findings in the workspace, as JSON. The workspace may come from an earlier
version, so a new field needs a default.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from typing import Any, ClassVar, cast

from experiment_features.contract import ALL_TABLES, MODES, TABLES, DropMode, Mode
from experiment_features.drop.files import DropFile, Layer, Part, relied_parts
from experiment_features.errors import ConfigurationError
from experiment_features.places import without_secret

STAGES = ("extract", "validate", "transform", "load")

PARAMETERS = ("mode", "max_rejected_percent", "max_removed_percent", "allow_empty", "force")
"""The fields of a run that are parameters, for forms, the command line and the ledger alike."""

COMPUTATION = (
    "features_sha256",
    "issues_sha256",
    "code_version",
    "lock_sha256",
    "python_version",
    "engine_version",
)
"""What stages find so that a run can be computed again; each has a column in the run ledger."""

DRY_RUN = "dry run"
"""The status of a result that was not loaded."""


@dataclass(frozen=True)
class Run:
    """What is known about a run before it starts."""

    run_id: str
    trigger: str
    """scheduled, manual, api, asset, backfill or cli."""

    started_at: datetime
    today: date
    """The date (UTC) that the rules treat as today; fixed, so that a repeated run agrees."""

    triggered_by: str | None = None
    """The user who requested the run; None if there was none, or it is not known."""

    given_source: str = ""
    """The source as requested; empty if the run chooses its drop itself."""

    mode: Mode = "auto"
    """What the drop is said to be; auto leaves it to its marker."""
    max_rejected_percent: float = 10
    max_removed_percent: float = 20
    allow_empty: bool = False
    force: bool = False
    restored_run: str | None = None
    """The earlier run whose parts it loads again; None if it reads a drop."""

    def __post_init__(self) -> None:
        """Hides a secret in the source. Refuses NaN as a percentage, which Airflow lets pass.

        Raises:
            ConfigurationError: the mode is unknown, a percentage is not a number from 0 to 100, or
                the id is like those under which the ledger enters repeated runs.
        """
        object.__setattr__(self, "given_source", without_secret(self.given_source))
        if re.search("/[0-9]+$", self.run_id):
            raise ConfigurationError(
                f"the run id {self.run_id!r} ends as the ledger's entry for a repeated run does: "
                "start the run under another id"
            )
        if self.mode not in MODES:
            raise ConfigurationError(f"mode is {self.mode!r}: expected {', '.join(MODES)}")
        for name in ("max_rejected_percent", "max_removed_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}: expected a number from 0 to 100"
                )

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters, for the ledger."""
        parameters = {name: getattr(self, name) for name in PARAMETERS}
        return parameters | ({"restored_run": self.restored_run} if self.restored_run else {})


@dataclass(frozen=True)
class Extracted:
    """What extract found."""

    stage: ClassVar[str] = "extract"

    source: str
    is_unchanged: bool
    """Whether the files are those of the last load."""
    layers: Sequence[Layer]
    """What the run is computed on: its drop alone, or a snapshot and the deltas on top of it. The
    last is that of the drop, with its parts per table, in the order of the files' names."""
    mode: DropMode = "snapshot"
    base_run_id: str | None = None
    """The load that a delta was built on; None for a snapshot."""
    last_run_id: str | None = None
    """The last load when a delta was read."""
    rising_keys: Sequence[str] = ()
    """Tables whose ids are known to be unique, because they rise from row to row."""
    database_id: str = ""
    """Whose parts they are, in the store; empty for parts in the workspace."""

    @property
    def builds_on_last(self) -> bool:
        """Whether it is a delta on top of the last load, and not one in place of it."""
        return self.mode == "delta" and self.base_run_id == self.last_run_id

    @property
    def files(self) -> list[DropFile]:
        """The files of the drop."""
        names = DropFile.__annotations__
        parts = self.layers[-1]["parts"]
        return [cast("DropFile", {name: part[name] for name in names}) for part in parts]  # type: ignore[literal-required]

    @property
    def parts(self) -> list[Part]:
        """The parts that the run reads, of all layers."""
        return relied_parts(self.layers)

    @property
    def rows(self) -> Mapping[str, int]:
        """How many rows the drop has, per table; of a delta, only tables with files."""
        files = self.files
        named = {file["table"] for file in files}
        return {
            table.name: sum(file["rows"] for file in files if file["table"] == table.name)
            for table in ALL_TABLES
            if table.name in named or (table in TABLES and self.mode == "snapshot")
        }

    @property
    def total_rows(self) -> Mapping[str, int]:
        """How many rows the parts have that the run reads, per table."""
        rows: Counter[str] = Counter()
        for part in self.parts:
            rows[part["table"]] += part["rows"]
        return rows

    @property
    def text_bytes(self) -> int:
        """How much text they hold, decompressed."""
        return sum(part["text_bytes"] for part in self.parts)

    def counts(self) -> dict[str, Any]:
        """The figures for the log, the metrics and the next task."""
        return {"rows": dict(self.rows), "is_unchanged": self.is_unchanged}


@dataclass(frozen=True)
class Validated:
    """What validate found."""

    stage: ClassVar[str] = "validate"

    rejected: Mapping[str, int]
    """Rows per table."""
    rejected_rows: int
    warnings: int
    """Issues that do not reject a row."""
    rules: Mapping[str, int]
    """Issues per rule, as ``table.rule``."""
    issues_sha256: str | None = None
    """The digest of the issues: see digest.py. None if only what a delta can have changed was
    judged: a load then makes it from that of the load below."""
    totals_before: Mapping[str, int] | None = None
    """The totals of the load below (features/averages.py), if the rest is as it was there; None if
    everything was judged and is to be computed."""
    notices: Sequence[str] = ()
    """What the issues say of the drop as a whole."""

    def counts(self) -> dict[str, Any]:
        """The figures for the log, the metrics and the next task."""
        return {"rejected": dict(self.rejected), "warnings": self.warnings}


@dataclass(frozen=True)
class Transformed:
    """What transform computed: the numbers of valid rows, and the average over all users."""

    stage: ClassVar[str] = "transform"

    users: int
    experiments: int
    compounds: int
    average_experiments_per_user: float | None
    """Experiments divided by users; None without users."""
    engine: str
    average_run_time: float | None = None
    """The mean of all known run times, in the drop's own unit; None if none is known."""
    is_whole: bool = True
    """Whether all features were computed, or only those that a delta may have changed."""
    features_sha256: str | None = None
    """The digest of the features of users and compounds together, or None: as issues_sha256."""
    totals: Mapping[str, int] | None = None
    """What all users have together, exactly: see features/averages.count_totals."""
    code_version: str | None = None
    """The commit of the code, if it is known."""
    lock_sha256: str | None = None
    """The sha256 of the file that locks the libraries' versions, if it is there."""
    python_version: str | None = None
    engine_version: str | None = None

    def counts(self) -> dict[str, Any]:
        """The figures for the log, the metrics and the next task."""
        names = ("users", "experiments", "compounds", "engine")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Result:
    """The result of a run, as the API, the DAG and the command line show it, in this order."""

    stage: ClassVar[str] = "load"

    run_id: str
    status: str
    """loaded, unchanged, or ``dry run``; the ledger has more (load/ledger.py)."""
    mode: DropMode | None = None
    """snapshot or delta; None if the run ended before it was known."""
    given_source: str | None = None
    """The source as requested; empty if the run chooses its drop itself."""
    source: str | None = None
    """The folder of the drop; None if the run ended before it was known."""
    engine: str | None = None
    users: int | None = None
    experiments: int | None = None
    compounds: int | None = None
    average_experiments_per_user: float | None = None
    rejected_rows: int | None = None
    warnings: int | None = None
    healed: int | None = None
    """Rows of earlier drops that had been rejected and are valid now; None if it did not load."""
    inserted: int | None = None
    """Users, as are updated, deleted and unchanged; None after a dry run without a database."""
    updated: int | None = None
    deleted: int | None = None
    unchanged: int | None = None
    notices: Sequence[str] = field(default_factory=list)
    """What needs attention, although the drop was loaded."""
    seconds: Mapping[str, float] | None = None
    """Per stage."""

    def counts(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    @classmethod
    def columns(cls) -> list[str]:
        """The fields that have a column in the run ledger."""
        return [each.name for each in fields(cls) if each.name != "seconds"]


StageFacts = Extracted | Validated | Transformed | Result


def in_order(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result, and its seconds, in the order that JSON has lost; unknown names come last."""
    names = [*(each.name for each in fields(Result)), *STAGES]

    def ordered(values: Mapping[str, Any]) -> dict[str, Any]:
        known = {name: values[name] for name in names if name in values}
        return {**known, **values}

    return ordered({**result, "seconds": ordered(result.get("seconds") or {})})
