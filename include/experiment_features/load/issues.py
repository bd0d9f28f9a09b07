"""The issues in the ledger: open while they hold after the last load, closed from then on."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg import sql

from experiment_features.contract import TABLES, Table
from experiment_features.engines import arrow
from experiment_features.load.copy import copy_batches
from experiment_features.load.database import (
    Connection,
    check_unaltered,
    check_written,
    comma_separated,
    read_sql,
)

KEPT_ISSUES = 1_000
"""Of each file and rule, for a run that did not load: a drop may be refused again and again."""

_ISSUES = sql.Identifier("features", "data_issues")

_STAGED = sql.Identifier("staged_issues")

CHANGED_ISSUES: Mapping[str, sql.Composable] = {
    "staged": _STAGED,
    "known": sql.Identifier("known_issues"),
    "changed": sql.Identifier("changed_issues"),
    "key": comma_separated(("table_name", "file_name", "line_number", "rule", "run_id")),
    "was_known": sql.SQL("not changed.is_staged"),
}
"""The temporary tables in which a delta's issues are compared with the open ones."""

_KIND = ["table_name", "file_name", "rule"]


def close_issues(connection: Connection, run_id: str) -> None:
    """Closes all open issues on behalf of a load, which is already in the ledger."""
    ((expected,),) = connection.execute(read_sql("count_open_issues")).fetchall()
    written = connection.execute(read_sql("close_issues"), {"run_id": run_id}).rowcount
    check_written("features.data_issues", "close_issues", expected, written)


def copy_issues(connection: Connection, issues: Path, run_id: str, *, is_load: bool) -> None:
    """Copies the issues that a run found into data_issues.

    Args:
        connection: in the transaction that enters the run.
        issues: grain: issue, in the order of the files' lines; columns: see rules.validate.
        run_id: the run's entry in the ledger.
        is_load: whether they hold now; else they are closed, and only the first of each file and
            rule of the run's own drop are copied.

    Raises:
        DatabaseRefused: not all of them are there afterwards.
    """
    columns, rows = _columns(issues), _entries(issues, run_id, is_load=is_load)
    if not _has_triggers(connection):
        copied = copy_batches(connection, _ISSUES, columns, rows)
        _check_found(connection, run_id, copied, is_load=is_load)
        return
    connection.execute(read_sql("stage_issues"))
    copied = copy_batches(connection, _STAGED, columns, rows)
    _insert(connection, columns, _STAGED)
    _check_found(connection, run_id, copied, is_load=is_load)
    _check_unaltered(connection, run_id, columns, _STAGED)


def _columns(issues: Path) -> list[str]:
    return ["found_by", "closed_by", *pq.read_schema(issues).names]


def _entries(issues: Path, run_id: str, *, is_load: bool) -> Iterator[pa.RecordBatch]:
    """The rows of data_issues for the issues that a run found: see copy_issues."""
    owner, names = arrow.text(run_id), _columns(issues)
    batches = arrow.batches(issues)
    for batch in batches if is_load else _first_of_each_kind(map(_own, batches)):
        found_by = pa.repeat(owner, len(batch))
        closed_by = pa.nulls(len(batch), arrow.TEXT) if is_load else found_by
        columns = [found_by, closed_by, *_of_run(batch, run_id).columns]
        yield pa.RecordBatch.from_arrays(columns, names=names)


def _insert(connection: Connection, columns: Sequence[str], staged: sql.Composable) -> int:
    """Adds staged issues; returns how many."""
    query = read_sql("insert_issues").format(columns=comma_separated(columns), staged=staged)
    return connection.execute(query).rowcount


def _has_triggers(connection: Connection) -> bool:
    ((found,),) = connection.execute(read_sql("has_triggers")).fetchall()
    return bool(found)


def _check_unaltered(
    connection: Connection, run_id: str, columns: Sequence[str], staged: sql.Composable
) -> None:
    """Makes sure that the issues that a run has found are as they were staged."""
    query = read_sql("count_altered_issues").format(columns=comma_separated(columns), staged=staged)
    ((altered,),) = connection.execute(query, {"run_id": run_id}).fetchall()
    check_unaltered("features.data_issues", altered)


def _check_found(connection: Connection, run_id: str, count: int, *, is_load: bool) -> None:
    """Makes sure that a run has found so many issues, which hold if it loaded."""
    values = {"run_id": run_id, "is_load": is_load}
    ((kept,),) = connection.execute(read_sql("count_found_issues"), values).fetchall()
    check_written("features.data_issues", "copy", count, kept)


def _own(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The issues of the run's own drop."""
    return batch.filter(pc.equal(batch["run_id"].cast(arrow.TEXT), arrow.text("")))


def _of_run(batch: pa.RecordBatch, run_id: str) -> pa.RecordBatch:
    """The issues, with the run's id for rows of its own drop."""
    at = batch.schema.get_field_index("run_id")
    brought_by = batch.column(at).cast(arrow.TEXT)
    is_own = pc.equal(brought_by, arrow.text(""))
    return batch.set_column(at, "run_id", pc.if_else(is_own, arrow.text(run_id), brought_by))


class IssueChanges(NamedTuple):
    """How the open issues differ from those that hold after a delta."""

    closed: int
    found: int
    healed: int
    """Rows of earlier drops, neither replaced nor deleted, that had an error and have none now."""
    by_rule: Mapping[str, int]
    """How many hold afterwards, per rule, as ``table.rule``."""
    columns: Sequence[str]
    """Those of the staged issues that have values."""


def compare_issues(
    connection: Connection,
    issues: Path,
    run_id: str,
    *,
    touched: Mapping[str, Path],
    judged: Mapping[str, Path] | None,
    known: Mapping[str, Path] | None,
    earlier_run_ids: Sequence[str],
) -> IssueChanges:
    """Stages the issues that hold after a delta, and compares them with the open ones.

    Args:
        connection: in the transaction of the load.
        issues: as for copy_issues; absent if there are none.
        run_id: the load.
        touched: by table, the file of the ids that the delta brings or deletes.
        judged: by table, the file of the ids of the rows that were judged; None if all were.
        known: by table, a file with the ids of rows that have open issues: no others need be
            copied; None if they are not known.
        earlier_run_ids: the runs of the layers below.
    """
    columns = stage_issues(connection, issues, run_id)
    for table in TABLES:
        of_table = known[table.name] if known else None
        _copy_ids(connection, "touched_ids", table, touched[table.name], of_table)
        if judged:
            _copy_ids(connection, "judged_ids", table, judged[table.name], of_table)
    tables = [table.name for table in TABLES]
    scope = {"is_whole": judged is None, "tables": tables}
    connection.execute(read_sql("stage_known_issues"), scope)
    connection.execute(read_sql("compare_issues"))
    ((closed, found),) = connection.execute(read_sql("count_issue_changes")).fetchall()
    values = {"run_ids": list(earlier_run_ids), "tables": tables}
    ((healed,),) = connection.execute(read_sql("count_healed"), values).fetchall()
    by_rule = dict(connection.execute(read_sql("count_issues_by_rule")).fetchall())
    return IssueChanges(closed, found, healed, by_rule, columns)


def stage_issues(connection: Connection, issues: Path, run_id: str) -> Sequence[str]:
    """Copies issues that hold into a staging table; returns the columns that have values.

    Args:
        connection: in a transaction.
        issues: as for copy_issues; absent if there are none.
        run_id: whose own drop's rows have no run id yet.
    """
    connection.execute(read_sql("stage_issues"))
    if not issues.exists():
        return ()
    columns = _columns(issues)
    copy_batches(connection, _STAGED, columns, _entries(issues, run_id, is_load=True))
    return columns


def merge_issues(connection: Connection, run_id: str, changes: IssueChanges) -> None:
    """Makes the open issues those that were staged, on behalf of a load in the ledger."""
    written = connection.execute(read_sql("close_past_issues"), {"run_id": run_id}).rowcount
    check_written("features.data_issues", "close_issues", changes.closed, written)
    if changes.found:
        new = sql.SQL("{staged} inner join {changed} using ({key}) where is_staged")
        staged = new.format(**CHANGED_ISSUES)
        written = _insert(connection, changes.columns, staged)
        check_written("features.data_issues", "insert", changes.found, written)
        if _has_triggers(connection):
            _check_unaltered(connection, run_id, changes.columns, staged)
    _check_found(connection, run_id, changes.found, is_load=True)


def _copy_ids(
    connection: Connection, target: str, table: Table, ids: Path, known: Path | None
) -> None:
    """Copies the ids of a table in a file, or those of them that are known."""
    columns = (batch.column(0) for batch in arrow.batches(ids))
    if known:
        with pq.ParquetFile(known) as file:
            wanted = file.read([table.key])[table.key]
        columns = (column.filter(pc.is_in(column, value_set=wanted)) for column in columns)
    names = ["table_name", "id"]
    rows = (
        pa.RecordBatch.from_arrays(
            [pa.repeat(arrow.text(table.name), len(column)), column], names=names
        )
        for column in columns
    )
    copy_batches(connection, sql.Identifier(target), names, rows)


def _first_of_each_kind(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    seen: Counter[Any] = Counter()
    for batch in batches:
        is_kept = np.zeros(len(batch), dtype=bool)
        kinds = batch.select(_KIND).to_pandas().groupby(_KIND, sort=False)
        for kind, rows in kinds.indices.items():
            is_kept[rows[: max(0, KEPT_ISSUES - seen[kind])]] = True
            seen[kind] += len(rows)
        yield batch.filter(pa.array(is_kept))
