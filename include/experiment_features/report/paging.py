"""Reading for the page: one state of the database, in answers of a limited size.

Lists come in pages that begin at a row, not after a number of rows: the thousandth costs what the
first does.
"""

from collections.abc import Iterator, Sequence
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
TIMEOUT = "10s"


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: behind the last row of one page, or before the first of another."""

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
    """A transaction that sees one state of the database, changes nothing, and soon ends.

    Raises:
        DatabaseUnavailable, DatabaseRefused: as database_errors says.
    """
    privilege = "Grant the user the role features_reader"
    with database_errors("read the features", privilege):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            connection.execute(read_sql("set_reading_options"), {"timeout": TIMEOUT})
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
    """A page by the query of that name, whose rows are in the order of the keys."""
    backwards = cursor is not None and cursor.backwards
    falls = descending != backwards
    query = read_sql(name).format(
        keys=sql.SQL(", ").join(keys),
        beyond=sql.SQL("<" if falls else ">"),
        order=sql.SQL(", ").join(
            sql.SQL("{} {}").format(key, sql.SQL("desc" if falls else "asc")) for key in keys
        ),
        **parts,
    )
    # One row more than the page has tells whether another page follows.
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
