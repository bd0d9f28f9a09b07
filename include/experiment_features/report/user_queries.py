"""The page's queries of users: lists, searches, one user, and the download of all.

Names are truncated on the page, but never in the download.
"""

from collections.abc import Generator
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from psycopg import sql

from experiment_features.definitions import USER_FEATURES
from experiment_features.load.database import Connection
from experiment_features.report.name_search import find_by_name
from experiment_features.report.paging import (
    CHART_ROWS,
    PAGE_ROWS,
    Cursor,
    Page,
    Row,
    fetch,
    read_page,
    read_sql,
)

NAME_LENGTH = 120
BATCH_ROWS = 5_000

Sort = Literal["id", "name", "experiments"]

_USER_KEYS: dict[str, tuple[sql.Composable, ...]] = {
    "id": (sql.Identifier("user_id"),),
    "experiments": (sql.Identifier("total_experiments"), sql.Identifier("user_id")),
}


def find_users(
    connection: Connection,
    *,
    search: str = "",
    sort: Sort = "id",
    descending: bool = False,
    cursor: Cursor | None = None,
) -> Page:
    """A page of users; ties are in the order of user_id.

    ``search`` is a user_id, or the beginnings of words of a name, in any case and without accents;
    what it finds is in the order of the names. ``cursor`` is a user_id.
    """
    if sort != "name":
        return _page_users(connection, _USER_KEYS[sort], None, cursor, descending=descending)
    user_id = _id_in(search)
    page = find_by_name(
        connection,
        USER_FEATURES,
        _listed_features(),
        search=search,
        excluded=user_id,
        length=NAME_LENGTH,
        descending=descending,
        cursor=cursor,
    )
    if user_id is None or page.has_previous:
        return page
    found = _page_users(connection, _USER_KEYS["id"], user_id, None)
    return replace(page, rows=[*found.rows, *page.rows])


def _id_in(search: str) -> int | None:
    """The id that a search asks for, if it is one."""
    search = search.strip()
    if not (search.isascii() and search.isdecimal()):
        return None
    number = int(search.lstrip("0")[:20] or 0)
    return number if number < 2**63 else None


def _page_users(
    connection: Connection,
    keys: tuple[sql.Composable, ...],
    user_id: int | None,
    cursor: Cursor | None,
    *,
    descending: bool = False,
) -> Page:
    values = {"user_id": user_id, "length": NAME_LENGTH}
    return read_page(
        connection,
        "page_users",
        keys,
        values,
        cursor,
        descending=descending,
        features=_listed_features(),
    )


def find_user(connection: Connection, user_id: int) -> Row | None:
    """A user's features."""
    query = read_sql("select_user").format(features=_shown_features())
    found = fetch(connection, query, {"user_id": user_id, "length": 1000})
    return found[0] if found else None


def find_user_compounds(connection: Connection, user_id: int) -> list[Row]:
    """A user's most common compounds, including ties, the chosen one first."""
    values = {"user_id": user_id, "rows": PAGE_ROWS}
    return fetch(connection, read_sql("select_user_compounds"), values)


def find_user_history(connection: Connection, user_id: int) -> list[Row]:
    """A user's features period by period, the latest first."""
    values = {"user_id": user_id, "length": NAME_LENGTH, "rows": CHART_ROWS}
    query = read_sql("select_user_history").format(features=_shown_features())
    return fetch(connection, query, values)


def find_departure(connection: Connection, moment: datetime) -> str | None:
    """The run of the load that ended a period at a moment; None if it has been forgotten."""
    found = fetch(connection, read_sql("select_departure"), {"moment": moment})
    return str(found[0]["run_id"]) if found else None


def read_users(connection: Connection) -> Generator[list[tuple[Any, ...]], None, None]:
    """All users with their features, in batches; the first batch is the column names."""
    with connection.cursor("export_users") as cursor:
        cursor.execute(read_sql("export_users").format(features=_exported_features()))
        yield [tuple(column.name for column in cursor.description or ())]
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield rows


def _shown_features() -> sql.Composed:
    """A user's features as the page shows them: texts cut to the value length, lists left out."""
    cut = sql.SQL('"left"({name}, %(length)s) as {name}')
    return sql.SQL(", ").join(
        cut.format(name=sql.Identifier(feature.name))
        if feature.sql_type == "text"
        else sql.Identifier(feature.name)
        for feature in USER_FEATURES.features
        if not feature.is_list
    )


def _listed_features() -> sql.Composed:
    """What a list of users shows."""
    ties = sql.SQL("{}, cardinality(most_common_compound_ids) as tied_compounds")
    return ties.format(_shown_features())


def _exported_features() -> sql.Composed:
    """A user's features as a download has them: texts in full, lists as text."""
    joined = sql.SQL("array_to_string({name}, ';') as {name}")
    return sql.SQL(", ").join(
        joined.format(name=sql.Identifier(feature.name))
        if feature.is_list
        else sql.Identifier(feature.name)
        for feature in USER_FEATURES.features
    )
