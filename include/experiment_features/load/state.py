"""A hash of what a load has left, so that what was changed by hand since is noticed.

It is PostgreSQL's own, and not the digest of digest.py: it is twenty times as fast, includes runs
and times, and may differ after a move to another version, which costs one whole computation.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from psycopg import sql

from experiment_features.definitions import RELATIONS
from experiment_features.load.database import (
    Connection,
    check_written,
    comma_separated,
    read_sql,
)
from experiment_features.load.issues import CHANGED_ISSUES
from experiment_features.load.ledger import Entry
from experiment_features.load.merge import statement_parts

_ISSUES = "latest_data_issues"
_ISSUE_COLUMNS = (
    "run_id",
    "found_by",
    "severity",
    "table_name",
    "file_name",
    "line_number",
    "row_id",
    "rule",
    "column_name",
    "value",
    "message",
    "raw_row",
)

_COLUMNS = {
    **{relation.name: (*relation.columns, "run_id", "updated_at") for relation in RELATIONS},
    _ISSUES: _ISSUE_COLUMNS,
}
"""By relation, what is hashed of each of its rows: not the columns that users have added."""


def is_as_left(connection: Connection, last: Entry) -> bool:
    """Whether features and open issues are those that a load has left; not if it is not known."""
    return last.state_hash is not None and last.state_hash == _hash(connection)


def record_state(connection: Connection, run_id: str, state_hash: Decimal | None = None) -> None:
    """Records what a load leaves, after all else in its transaction.

    Args:
        connection: in the load's transaction.
        run_id: its entry in the ledger.
        state_hash: the hash, if it is known.

    Raises:
        DatabaseRefused: nothing was recorded.
    """
    if state_hash is None:
        state_hash = _hash(connection)
    values = {"run_id": run_id, "state_hash": state_hash}
    written = connection.execute(read_sql("set_state_hash"), values).rowcount
    check_written("features.pipeline_runs", "set_state_hash", 1, written)


def hash_changed(connection: Connection) -> Decimal:
    """What the rows that a delta changes have in the hash: before they change, or afterwards.

    Args:
        connection: in the load's transaction, after merge.compare_features and
            issues.compare_issues.
    """
    changes = {relation.name: statement_parts(relation) for relation in RELATIONS}
    return _hash(connection, {**changes, _ISSUES: CHANGED_ISSUES})


def hash_issues(connection: Connection) -> Decimal:
    """What the open issues have in the hash, which is all that can change if the features stay."""
    return _hash(connection, names=[_ISSUES])


def _hash(
    connection: Connection,
    changes: Mapping[str, Mapping[str, sql.Composable]] | None = None,
    names: Iterable[str] = _COLUMNS,
) -> Decimal:
    """The hash of all rows of relations, or of those with a key in their tables of changes."""
    found = Decimal()
    for name in names:
        columns = _COLUMNS[name]
        query = read_sql("hash_changed_rows" if changes else "hash_rows")
        parts = dict(changes[name]) if changes else {}
        parts["relation"] = sql.Identifier("features", name)
        parts["columns"] = comma_separated(columns)  # all that are hashed
        ((hash_of_rows,),) = connection.execute(query.format(**parts)).fetchall()
        found += Decimal(hash_of_rows)
    return found
