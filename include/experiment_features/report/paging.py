"""Reads for the page: one state of the database, in results of limited size.

A page of a list begins at a given row, not after a number of rows, so the thousandth costs no more
than the first.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel, sql
from psycopg.rows import dict_row

from experiment_features.load import database
from experiment_features.load.database import Connection, database_errors

Row = dict[str, Any]

read_sql = partial(database.read_sql, folder=Path(__file__).parent / "sql")

PAGE_ROWS = 50

BATCH_ROWS = 5_000
"""Of a download, how many rows are read at a time."""

CHART_ROWS = 60
"""How many runs, or periods of a user, a chart shows; more could not be told apart."""

TIMEOUT = "10s"
DOWNLOAD_TIMEOUT = "120s"
"""A download may have to sort a million rows before it begins."""

IDLE_TIMEOUT = "60s"
"""Should a reader forget a transaction, the database ends its session after this time."""


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: after the last row of another page, or before its first row."""

    row: Any
    backwards: bool = False


@dataclass(frozen=True)
class Page:
    """Some rows of a list, and whether there are more in either direction."""

    rows: list[Row]
    has_previous: bool
    has_next: bool


@contextmanager
def reading(connection: Connection) -> Iterator[None]:
    """A read-only transaction on one state of the database, with short timeouts.

    Raises:
        DatabaseUnavailable, DatabaseRefused: as in database_errors.
    """
    privilege = "Grant the user the role features_reader"
    with database_errors("read the features", privilege):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            timeouts = {"timeout": TIMEOUT, "idle_timeout": IDLE_TIMEOUT}
            connection.execute(read_sql("set_reading_options"), timeouts)
            yield


def read_page(
    connection: Connection,
    name: str,
    keys: Sequence[sql.Composable],
    values: dict[str, Any],
    cursor: Cursor | None,
    *,
    descending: bool = False,
    rows: int = PAGE_ROWS,
    **parts: sql.Composable,
) -> Page:
    """A page of the named query, in the order of the keys."""
    backwards = cursor is not None and cursor.backwards
    query_descends = descending != backwards
    query = read_sql(name).format(
        keys=sql.SQL(", ").join(keys),
        beyond=sql.SQL("<" if query_descends else ">"),
        order=sql.SQL(", ").join(
            sql.SQL("{} {}").format(key, sql.SQL("desc" if query_descends else "asc"))
            for key in keys
        ),
        **parts,
    )
    # One extra row shows whether another page follows.
    limits = {"cursor": cursor.row if cursor else None, "rows": rows + 1}
    found = fetch(connection, query, {**limits, **values})
    more, found = len(found) > rows, found[:rows]
    if backwards:
        return Page(found[::-1], has_previous=more, has_next=True)
    return Page(found, has_previous=cursor is not None, has_next=more)


def fetch(
    connection: Connection, query: sql.SQL | sql.Composed, values: dict[str, Any]
) -> list[Row]:
    """The rows of a query."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()


def read_batches(
    connection: Connection, query: sql.SQL | sql.Composed, values: dict[str, Any] | None = None
) -> Generator[list[tuple[Any, ...]], None, None]:
    """All rows of a query, in batches; the first batch is the column names."""
    timeout = sql.SQL("set local statement_timeout = {}").format(DOWNLOAD_TIMEOUT)
    connection.execute(timeout)
    with connection.cursor("download") as cursor:
        cursor.execute(query, values)
        yield [tuple(column.name for column in cursor.description or ())]
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield rows
