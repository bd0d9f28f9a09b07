"""The run ledger: what each run read, found and did, and every issue of its drop.

| status | the run |
|---|---|
| running | has begun, and has not ended yet |
| loaded | replaced the features |
| unchanged | found that the features were already those of its drop |
| rejected | found too many faulty rows (max_rejected_percent) |
| held | would have removed too much (max_removed_percent) |
| refused | could not continue because of its input or a setting |
| failed | failed for any other reason |
| skipped | had nothing to do |

A run that is repeated after it loaded is entered anew as <run_id>/2, <run_id>/3 and so on; any
other entry is replaced when its run is repeated.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.drop.files import DropFile, Layer
from experiment_features.load.database import Connection, comma_separated, read_sql
from experiment_features.run import COMPUTATION, Extracted, Result, Run
from experiment_features.workspace import Workspace

_INPUT_COLUMNS = (
    "source_files",
    "parameters",
    "definition_version",
    "average_run_time",
    "totals",
    "state_hash",
    "today",
    "parts",
    "base_run_id",
)
_COLUMNS = (*Result.columns(), *_INPUT_COLUMNS, *COMPUTATION)


@dataclass(frozen=True)
class Entry:
    """The ledger's entry for a run that loaded its drop, or found it already loaded."""

    result: Result
    source_files: list[DropFile]
    parameters: dict[str, Any]
    definition_version: int
    average_run_time: float | None
    """The mean of all known run times; None also for loads by versions before 4."""
    totals: dict[str, int] | None
    """See run.Transformed; None for loads by versions before 7."""
    state_hash: Decimal | None
    """See state.py; None for loads by versions before 11."""
    today: date
    parts: list[Layer]
    """The layers that it was computed on; none for loads by versions before 5."""
    base_run_id: str | None
    """The load that it was built on; None for a snapshot."""
    computation: dict[str, str | None]
    """See run.COMPUTATION; each None for loads by versions before 5."""

    @property
    def restored_run(self) -> str | None:
        """The run whose load it restored, if it did not read a drop."""
        return self.parameters.get("restored_run")

    def is_load_of(self, workspace: Workspace) -> bool:
        """Whether it read the workspace's files and computed the features as they are now."""
        is_current = self.definition_version == DEFINITION_VERSION
        layers = workspace.found(Extracted).layers
        return is_current and _files_of(self.parts) == _files_of(layers)


def _files_of(layers: Sequence[Layer]) -> list[tuple[int, str, str, str]]:
    return [
        (number, part["table"], part["name"], part["sha256"])
        for number, layer in enumerate(layers)
        for part in layer["parts"]
    ]


class FailedDrop(NamedTuple):
    """A drop that did not load when it was last run."""

    source: str
    run_id: str
    status: str


def find_failed(connection: Connection, sources: Sequence[str]) -> list[FailedDrop]:
    """Those of some drops that did not load, in their order, if no snapshot was loaded since."""
    values = {"sources": list(sources)}
    rows = connection.execute(read_sql("select_failed_drops"), values).fetchall()
    return [FailedDrop(*row) for row in rows]


class Snapshot(NamedTuple):
    """A snapshot in force."""

    source: str
    loaded_at: datetime


def find_snapshot(connection: Connection) -> Snapshot | None:
    """The snapshot in force, below all deltas; None before the first load."""
    found = connection.execute(read_sql("select_snapshot")).fetchone()
    return Snapshot(*found) if found else None


def find_last_load(connection: Connection) -> Entry | None:
    """The ledger's entry for the run whose features are in the database."""
    return _find(connection, "select_last_load", {})


def find_load_of(connection: Connection, source: str) -> Entry | None:
    """The entry for the latest load of a source, if its features were computed as they are now."""
    found = _find(connection, "select_load_of_source", {"source": source})
    return found if found and found.definition_version == DEFINITION_VERSION else None


def entry_id(connection: Connection, run: Run) -> str:
    """The id under which this attempt of a run is entered: see select_attempt.sql."""
    return _name(run, _attempt(connection, run))


def find_committed(connection: Connection, run: Run) -> Entry | None:
    """The load of this run that was committed, unless the run has begun again since."""
    attempt = _attempt(connection, run)
    if attempt == 1 or has_run(connection, _name(run, attempt)):
        return None
    return _find(connection, "select_run", {"run_id": _name(run, attempt - 1)})


def _attempt(connection: Connection, run: Run) -> int:
    values = {"run_id": run.run_id}
    ((attempt,),) = connection.execute(read_sql("select_attempt"), values).fetchall()
    return int(attempt)


def is_attempt(run_id: str, run: Run) -> bool:
    """Whether an entry is that of this very run, perhaps of an earlier attempt."""
    return run.run_id in (run_id, re.sub("/[0-9]+$", "", run_id))


def _name(run: Run, attempt: int) -> str:
    return run.run_id if attempt == 1 else f"{run.run_id}/{attempt}"


def has_run(connection: Connection, run_id: str) -> bool:
    """Whether the ledger has an entry with this id."""
    ((found,),) = connection.execute(read_sql("has_run"), {"run_id": run_id}).fetchall()
    return bool(found)


def _find(connection: Connection, query: str, values: dict[str, Any]) -> Entry | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        statement = read_sql(query).format(columns=comma_separated(_COLUMNS))
        row = cursor.execute(statement, values).fetchone()
    if row is None:
        return None
    result = Result(**{name: row[name] for name in Result.columns()})
    computation = {name: row[name] for name in COMPUTATION}
    return Entry(result, computation=computation, **{name: row[name] for name in _INPUT_COLUMNS})


def find_last_success(connection: Connection) -> datetime | None:
    """When the latest run that loaded its drop, or found it already loaded, ended."""
    row = connection.execute(read_sql("select_last_success")).fetchone()
    return row[0] if row else None
