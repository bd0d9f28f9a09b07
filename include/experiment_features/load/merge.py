"""Makes a relation match the rows of a run: staging, one comparison, then the changes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import Cursor, sql

from experiment_features.definitions import RELATIONS, Relation
from experiment_features.engines import arrow
from experiment_features.load.copy import copy_batches
from experiment_features.load.database import (
    Connection,
    check_unaltered,
    check_written,
    read_sql,
)
from experiment_features.load.feature_changes import LISTED, relative_size
from experiment_features.load.words import change_words, fill_words
from experiment_features.run import Transformed
from experiment_features.workspace import Workspace

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


def compare_features(
    connection: Connection, workspace: Workspace, *, are_known: bool = False
) -> dict[Relation, Changes]:
    """Stages the features of a run, and counts how the database differs from them: see compare.

    Rows that were not computed again count as unchanged, as all do if the features are known to be
    those of the database.
    """
    transformed = workspace.found(Transformed)
    changes = {}
    for relation in RELATIONS:
        is_whole = transformed.is_whole and not are_known
        parts = statement_parts(relation, is_whole=is_whole)
        if not is_whole:
            ids = None if are_known else workspace.computed(relation.name)
            _copy(connection, "stage_ids", parts, "computed", ids, [relation.key])
        rows_file = None if are_known else workspace.features(relation.name)
        found = compare(connection, relation, rows_file, parts)
        rows = getattr(transformed, relation.table)
        changes[relation] = replace(found, unchanged=rows - found.inserted - found.updated)
    return changes


def compare(
    connection: Connection,
    relation: Relation,
    rows: Path | None,
    parts: dict[str, sql.Composable] | None = None,
) -> Changes:
    """Stages the rows of a Parquet file, or none, and counts how a relation differs from them.

    Leaves the temporary tables from which the statements of this transaction take the differences.

    Args:
        connection: in a transaction.
        relation: the relation to compare.
        rows: the file; grain and columns are those of the relation.
        parts: of the statements, if another table takes the relation's place.
    """
    parts = parts or statement_parts(relation)
    staged = _copy(connection, "stage", parts, "staged", rows, relation.columns)
    log.info("staged %s: %s rows", relation.name, f"{staged:,}")
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
    if changes.written and changes.known:
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
    if changes.written and not changes.known:
        fill_words(connection, relation)


def record_changes(
    connection: Connection, relation: Relation, changes: Changes, run_id: str
) -> None:
    """Records what `merge` has changed, on behalf of a run that is in the ledger.

    Raises:
        DatabaseRefused: nothing was written, or something else.
    """
    keys = sql.SQL("size desc, relative_size desc, {}").format(sql.Identifier(relation.key))
    statement = read_sql("insert_load_changes").format(keys=keys, **statement_parts(relation))
    values = {"run_id": run_id, "table_name": relation.table, "listed": LISTED, **asdict(changes)}
    ((written,),) = connection.execute(statement, values).fetchall()
    check_written("features.load_changes", "insert", 1, written)


def check_merged(
    connection: Connection,
    relation: Relation,
    *,
    run_id: str,
    loaded_at: datetime,
    is_whole: bool = True,
) -> None:
    """Compares a relation once more, after everything else has been written.

    Numbers of rows do not tell whether a trigger changed a value, or another row than the one
    written.

    Raises:
        DatabaseRefused: it is not as `merge` should have left it.
    """
    parts = statement_parts(relation, is_whole=is_whole)
    query = read_sql("count_differences").format(**parts)
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


def statement_parts(relation: Relation, *, is_whole: bool = True) -> dict[str, sql.Composable]:
    """The parts from which the statements for a relation are composed.

    Unless ``is_whole``, only those rows are compared that were computed again.
    """

    def columns(*table: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(*table, name) for name in relation.columns)

    table, key = sql.Identifier("features", relation.name), sql.Identifier(relation.key)
    computed = sql.Identifier(f"computed_{relation.name}")
    some = sql.SQL("(select known.* from {} as known inner join {} using ({}))")
    return {
        "relation": table,
        "known": table if is_whole else some.format(table, computed, key),
        "was_known": sql.SQL("changed.is_known"),
        "computed": computed,
        "past": sql.Identifier("features", relation.past),
        "staged": sql.Identifier(f"staged_{relation.name}"),
        "changed": sql.Identifier(f"changed_{relation.name}"),
        "key": key,
        "name": sql.Identifier(relation.columns[1]),
        "columns": columns(),
        "closed_columns": columns("closed"),
        "current_columns": columns("current"),
        "relative_size": relative_size(relation),
        "staged_columns": columns("staged"),
    }


def _copy(
    connection: Connection,
    create: str,
    parts: Mapping[str, sql.Composable],
    table: str,
    rows: Path | None,
    columns: Sequence[str],
) -> int:
    """Copies rows into a temporary table, which a statement creates; returns their number."""
    connection.execute(read_sql(create).format(**parts))
    batches = (batch.select(columns) for batch in (arrow.batches(rows) if rows else ()))
    count = copy_batches(connection, parts[table], columns, batches)
    _analyze(connection, parts[table], parts["key"])  # joins use only the key
    return count


def _analyze(connection: Connection, table: sql.Composable, *columns: sql.Composable) -> None:
    """Collects statistics; without them the planner would choose nested loops."""
    statement = sql.SQL("analyze {}").format(table)
    if columns:
        statement += sql.SQL(" ({})").format(sql.SQL(", ").join(columns))
    connection.execute(statement)
