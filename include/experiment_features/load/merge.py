"""Makes a relation match the rows of a run: staging, one comparison, then the changes."""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from psycopg import Cursor, sql

from experiment_features.definitions import Relation
from experiment_features.engines import arrow
from experiment_features.load.copy import copy_batches
from experiment_features.load.database import (
    Connection,
    check_unaltered,
    check_written,
    read_sql,
)
from experiment_features.load.words import change_words

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Changes:
    """How many rows of a relation a load inserted, updated, deleted, and left as they were."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int

    @property
    def written(self) -> int:
        """How many rows were inserted, updated or deleted."""
        return self.inserted + self.updated + self.deleted

    @property
    def known(self) -> int:
        """How many rows there were before."""
        return self.updated + self.deleted + self.unchanged


def compare(
    connection: Connection,
    relation: Relation,
    rows: Path,
    parts: dict[str, sql.Composable] | None = None,
) -> Changes:
    """Stages the rows of a Parquet file, and counts how a relation differs from them.

    Leaves the temporary tables from which the statements of this transaction take the differences.

    Args:
        connection: in a transaction.
        relation: the relation to compare.
        rows: the file; grain and columns are those of the relation.
        parts: of the statements, if another table takes the relation's place.
    """
    parts = parts or statement_parts(relation)
    staged = _stage(connection, relation, rows, parts)
    connection.execute(read_sql("compare").format(**parts))
    _analyze(connection, parts["changed"])
    counted = connection.execute(read_sql("count_changes").format(**parts)).fetchall()
    ((inserted, updated, deleted),) = counted
    return Changes(inserted, updated, deleted, unchanged=staged - inserted - updated)


def merge(
    connection: Connection,
    relation: Relation,
    changes: Changes,
    *,
    run_id: str,
    loaded_at: datetime,
) -> None:
    """Makes a relation match the rows that it was compared with; writes only the differences.

    Args:
        connection: in the load's transaction, after `compare`.
        relation: the relation to change, with its history.
        changes: what the comparison counted.
        run_id: the run that makes the changes.
        loaded_at: when the periods of the new rows begin.

    Raises:
        DatabaseRefused: a statement wrote other rows than the comparison says.
    """
    values = {"run_id": run_id, "loaded_at": loaded_at}
    parts = statement_parts(relation)
    change_words(connection, relation)

    def execute(statement: str) -> Cursor[Any]:
        return connection.execute(read_sql(statement).format(**parts), values)

    ((closed,),) = execute("close_periods").fetchall()
    due = changes.updated + changes.deleted
    check_written(f"features.{relation.past}", "close_periods", due, closed)
    for statement, rows in (
        ("update", changes.updated),
        ("delete", changes.deleted),
        ("insert", changes.inserted),
    ):
        written = execute(statement).rowcount
        check_written(f"features.{relation.name}", statement, rows, written)


def check_merged(
    connection: Connection, relation: Relation, *, run_id: str, loaded_at: datetime
) -> None:
    """Compares a relation once more, after everything else has been written.

    Numbers of rows do not tell whether a trigger changed a value, or another row than the one
    written.

    Raises:
        DatabaseRefused: it is not as `merge` should have left it.
    """
    query = read_sql("count_differences").format(**statement_parts(relation))
    values = {"run_id": run_id, "loaded_at": loaded_at}
    ((rows,),) = connection.execute(query, values).fetchall()
    check_unaltered(f"features.{relation.name}", rows)


def count_users(connection: Connection) -> None:
    """Counts the users by their number of experiments, after `merge`.

    Raises:
        DatabaseRefused: other rows were written than have changed.
    """
    table = "features.users_by_total_experiments"

    def count() -> tuple[int, ...]:
        ((due, past, written, deleted),) = connection.execute(read_sql("count_users")).fetchall()
        check_written(table, "insert", due, written)
        check_written(table, "delete", past, deleted)
        return due, past

    if any(count()):
        check_unaltered(table, sum(count()))


def statement_parts(relation: Relation) -> dict[str, sql.Composable]:
    """The parts from which the statements for a relation are composed."""

    def columns(*table: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(*table, name) for name in relation.columns)

    return {
        "relation": sql.Identifier("features", relation.name),
        "past": sql.Identifier("features", relation.past),
        "staged": sql.Identifier(f"staged_{relation.name}"),
        "changed": sql.Identifier(f"changed_{relation.name}"),
        "key": sql.Identifier(relation.key),
        "name": sql.Identifier(relation.columns[1]),
        "columns": columns(),
        "closed_columns": columns("closed"),
        "current_columns": columns("current"),
        "staged_columns": columns("staged"),
    }


def _stage(
    connection: Connection, relation: Relation, rows: Path, parts: dict[str, sql.Composable]
) -> int:
    """Copies the rows into a staging table; returns their number."""
    connection.execute(read_sql("stage").format(**parts))
    with pq.ParquetFile(rows) as file:
        rows_of_columns = (batch.select(relation.columns) for batch in arrow.batches(file))
        count = copy_batches(connection, parts["staged"], relation.columns, rows_of_columns)
    _analyze(connection, parts["staged"], parts["key"])  # joins use only the key
    log.info("staged %s: %s rows", relation.name, f"{count:,}")
    return count


def _analyze(connection: Connection, table: sql.Composable, *columns: sql.Composable) -> None:
    """Collects statistics; without them the planner would choose nested loops."""
    statement = sql.SQL("analyze {}").format(table)
    if columns:
        statement += sql.SQL(" ({})").format(sql.SQL(", ").join(columns))
    connection.execute(statement)
