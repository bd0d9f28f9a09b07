"""Loads of the ledger: what each was computed from, and with what.

Loads are traced, reproduced and restored from their parts.
"""

from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from psycopg.rows import dict_row

from experiment_features.drop.files import DropFile, Layer, Part, parts_of
from experiment_features.errors import ConfigurationError
from experiment_features.load.database import Connection, comma_separated, database_errors, read_sql
from experiment_features.load.ledger import has_run
from experiment_features.visible_text import shown


@dataclass(frozen=True)
class Load:
    """A load of the ledger; what is not known of a load by an earlier version is None or empty."""

    run_id: str
    source: str
    parameters: dict[str, Any]
    layers: list[Layer]
    base_run_id: str | None
    today: date | None
    engine: str
    definition_version: int
    features_sha256: str | None
    issues_sha256: str | None
    code_version: str | None
    lock_sha256: str | None
    python_version: str | None
    engine_version: str | None
    files: list[DropFile]
    finished_at: datetime

    @property
    def parts(self) -> list[Part]:
        """The parts of all layers, in their order."""
        return parts_of(self.layers)


_COLUMNS = {field.name: field.name for field in fields(Load)} | {
    "layers": "parts",
    "files": "source_files",
}
"""By field, the column of the ledger."""


def find_load(connection: Connection, run_id: str | None = None) -> Load:
    """A load by its run's id, or the last one.

    Args:
        connection: of a user with the role features_reader or features_writer.
        run_id: as the ledger has it; None for the last load.

    Raises:
        ConfigurationError: there is no such run, or it did not load; the message then names the
            load that was in force when it ended.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    query = read_sql("select_load").format(columns=comma_separated(_COLUMNS.values()))
    with (
        database_errors("read the run ledger", connection=connection),
        connection.transaction(),
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        if run_id is not None and not (_can_be_stored(run_id) and has_run(connection, run_id)):
            raise ConfigurationError(
                f"the ledger has no run {shown(run_id)}: `scripts/query_features.sh runs` lists "
                "them"
            )
        row = cursor.execute(query, {"run_id": run_id}).fetchone()
    if row is None and run_id is None:
        raise ConfigurationError("nothing has been loaded yet: load a drop first")
    if row is None:
        raise ConfigurationError(
            f"run {run_id} did not load its drop, and no run before it had loaded one: name a run "
            "that `scripts/query_features.sh runs` shows as loaded"
        )
    if run_id not in (None, row["run_id"]):
        raise ConfigurationError(
            f"run {run_id} did not load its drop; what was loaded when it ended came from run "
            f"{row['run_id']}: name that one"
        )
    return Load(**{field: row[column] for field, column in _COLUMNS.items()})


def _can_be_stored(run_id: str) -> bool:
    """Whether PostgreSQL could have this id: not if the argument was not UTF-8, or holds NUL."""
    try:
        run_id.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in run_id
