"""Writes entries of the run ledger, and reads each back. See ledger.py for what a status means."""

import logging
from dataclasses import dataclass, fields
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.errors import DatabaseRefused, PipelineError
from experiment_features.load.database import (
    Connection,
    check_unaltered,
    check_written,
    comma_separated,
    database_errors,
    read_sql,
)
from experiment_features.load.ledger import has_run
from experiment_features.run import COMPUTATION, Result, Run
from experiment_features.visible_text import escape

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a run that failed ended: in which task, with which kind of error, and where."""

    status: str
    task: str
    error: str
    error_file: str | None
    error_line: int | None
    error_column: str | None
    message: str
    """May quote a cell: readers cannot see it."""

    @classmethod
    def of(cls, task: str, error: BaseException) -> "Ending":
        """The ending of a run that this error ended."""
        place = (error.file, error.line, error.column) if isinstance(error, PipelineError) else ()
        status = error.status if isinstance(error, PipelineError) else PipelineError.status
        message = escape(str(error)) or type(error).__name__
        return cls(status, task, type(error).__name__, *(place or (None, None, None)), message)


_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(
        [*Result.columns(), *(each.name for each in fields(Ending)), *COMPUTATION],
    ),
    **dict.fromkeys(("inserted", "updated", "deleted", "unchanged"), 0),
    "average_run_time": None,
    "totals": None,
    "state_hash": None,
    "base_run_id": None,
    "notices": [],
    "judged": None,
    "issues_by_rule": None,
    "loaded_at": None,
    "source_files": Jsonb([]),
    "parts": Jsonb([]),
}
"""What an entry has as long as nothing else is known, whatever defaults the columns have."""


def write_entry(connection: Connection, run: Run, entry: dict[str, Any]) -> None:
    """Enters a run anew; ``entry`` has what is known of it besides its parameters, by column."""
    entry = {
        **_UNKNOWN,
        "trigger": run.trigger,
        "triggered_by": run.triggered_by,
        "given_source": run.given_source,
        "parameters": Jsonb(run.parameters),
        "definition_version": DEFINITION_VERSION,
        "today": run.today,
        **entry,
    }
    _delete(connection, entry["run_id"])
    written = connection.execute(
        read_sql("insert_run").format(
            columns=comma_separated(entry),
            values=sql.SQL(", ").join(map(sql.Placeholder, entry)),
        ),
        entry | {"started_at": run.started_at},
    ).rowcount
    check_written("features.pipeline_runs", "insert", 1, written)
    check_entry(connection, entry)


def check_entry(connection: Connection, entry: dict[str, Any]) -> None:
    """Reads an entry back: a trigger can silently change it."""
    query = read_sql("count_entry").format(
        columns=comma_separated(entry),
        values=sql.SQL(", ").join(map(sql.Placeholder, entry)),
    )
    ((found,),) = connection.execute(query, entry).fetchall()
    check_unaltered("features.pipeline_runs", 1 - found)


def write_counted(
    connection: Connection, statement: str, table: str, values: dict[str, Any]
) -> int:
    """Executes a statement that counts what it has to write and what it wrote; returns the number.

    Raises:
        DatabaseRefused: the numbers differ.
    """
    ((due, written),) = connection.execute(read_sql(statement), values).fetchall()
    check_written(table, statement, due, written)
    return int(written)


def tidy(connection: Connection, statement: str, table: str, **values: int) -> None:
    """Executes one on what other runs left; if it fails, the log says so and the run goes on."""
    try:
        with database_errors("tidy up the ledger"), connection.transaction():
            write_counted(connection, statement, table, values)
    except DatabaseRefused as trouble:
        log.warning("%s", trouble)


def _delete(connection: Connection, run_id: str) -> None:
    """Deletes the entry of a run, if it has one, with its issues and held changes."""
    is_known = has_run(connection, run_id)
    deleted = connection.execute(read_sql("delete_run"), {"run_id": run_id}).rowcount
    check_written("features.pipeline_runs", "delete", int(is_known), deleted)
    counted = connection.execute(read_sql("count_kept_rows"), {"run_id": run_id})
    ((issues, changes),) = counted.fetchall()
    check_written("features.data_issues", "delete", issues, 0)
    check_written("features.held_changes", "delete", changes, 0)


def forget_old_runs(connection: Connection, keep_days: int) -> None:
    """Removes runs that ended longer ago, and issues that were closed longer ago.

    The last load stays, and so do the runs that open issues name.
    """
    tidy(connection, "delete_old_issues", "features.data_issues", keep_days=keep_days)
    tidy(connection, "delete_old_runs", "features.pipeline_runs", keep_days=keep_days)
