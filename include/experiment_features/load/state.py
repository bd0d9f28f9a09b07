"""A hash of what a load has left, so that what was changed by hand since is noticed.

It is PostgreSQL's own, and not the digest of digest.py: it is twenty times as fast, includes runs
and times, and may differ after a move to another version, which costs one whole computation.
"""

from decimal import Decimal

from psycopg import sql

from experiment_features.definitions import RELATIONS
from experiment_features.load.database import (
    Connection,
    check_written,
    comma_separated,
    read_sql,
)
from experiment_features.load.ledger import Entry

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
    "latest_data_issues": _ISSUE_COLUMNS,
}
"""By relation, what is hashed of each of its rows: not the columns that users have added."""


def is_as_left(connection: Connection, last: Entry) -> bool:
    """Whether features and open issues are those that a load has left; not if it is not known."""
    return last.state_hash is not None and last.state_hash == _hash(connection)


def record_state(connection: Connection, run_id: str) -> None:
    """Records what a load leaves, after all else in its transaction.

    Raises:
        DatabaseRefused: nothing was recorded.
    """
    values = {"run_id": run_id, "state_hash": _hash(connection)}
    written = connection.execute(read_sql("set_state_hash"), values).rowcount
    check_written("features.pipeline_runs", "set_state_hash", 1, written)


def _hash(connection: Connection) -> Decimal:
    return sum((_hash_rows(connection, *each) for each in _COLUMNS.items()), Decimal())


def _hash_rows(connection: Connection, name: str, columns: tuple[str, ...]) -> Decimal:
    parts = {"relation": sql.Identifier("features", name), "columns": comma_separated(columns)}
    ((found,),) = connection.execute(read_sql("hash_rows").format(**parts)).fetchall()
    return Decimal(found)
