"""The page's queries of users and compounds: lists, searches, one row, its history, the download.

Names are truncated on the page, but never in the download.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from psycopg import sql

from experiment_features.definitions import USER_FEATURES, Relation
from experiment_features.load.database import Connection
from experiment_features.report.name_search import find_by_name
from experiment_features.report.paging import (
    CHART_ROWS,
    PAGE_ROWS,
    Cursor,
    Page,
    Row,
    fetch,
    read_batches,
    read_page,
    read_sql,
)

NAME_LENGTH = 120

Sort = Literal["id", "name", "experiments"]

CANDIDATES = 10
"""How many users or compounds are offered if a text could mean any of them."""


@dataclass(frozen=True)
class Named:
    """What a text names: one user or compound, or several that it could mean."""

    text: str
    id: int | None
    """Of the one, if it is known which."""
    features: Row | None
    """None also if it has gone."""
    history: list[Row]
    candidates: list[Row]

    @property
    def is_unknown(self) -> bool:
        """Whether the text names nothing."""
        return bool(self.text) and self.id is None and not self.candidates


def find_rows(
    connection: Connection,
    relation: Relation,
    *,
    search: str = "",
    sort: Sort = "id",
    descending: bool = False,
    cursor: Cursor | None = None,
) -> Page:
    """A page of users or compounds; ties are in the order of their ids.

    ``search`` is an id, or the beginnings of words of a name, in any case and without accents; what
    it finds is in the order of the names. ``cursor`` is an id.
    """
    key = sql.Identifier(relation.key)
    if sort != "name":
        keys = (key,) if sort == "id" else (sql.Identifier("total_experiments"), key)
        return _find_in_order(connection, relation, keys, None, cursor, descending=descending)
    chosen = _id_in(search)
    page = find_by_name(
        connection,
        relation,
        _listed_features(relation),
        search=search,
        excluded=chosen,
        length=NAME_LENGTH,
        descending=descending,
        cursor=cursor,
    )
    if chosen is None or page.has_previous:
        return page
    found = _find_in_order(connection, relation, (key,), chosen, None)
    return replace(page, rows=[*found.rows, *page.rows])


def _id_in(search: str) -> int | None:
    """The id that a search asks for, if it is one."""
    search = search.strip()
    if not (search.isascii() and search.isdecimal()):
        return None
    number = int(search.lstrip("0")[:20] or 0)
    return number if number < 2**63 else None


def _find_in_order(
    connection: Connection,
    relation: Relation,
    keys: tuple[sql.Composable, ...],
    chosen: int | None,
    cursor: Cursor | None,
    *,
    descending: bool = False,
) -> Page:
    return read_page(
        connection,
        "page_features",
        keys,
        {"id": chosen, "length": NAME_LENGTH},
        cursor,
        descending=descending,
        features=_listed_features(relation),
        **_parts(relation),
    )


def find_row(connection: Connection, relation: Relation, id_: int) -> Row | None:
    """The features of a user or compound."""
    query = read_sql("select_features").format(
        features=_listed_features(relation), **_parts(relation)
    )
    found = fetch(connection, query, {"id": id_, "length": 1000})
    return found[0] if found else None


def find_user_compounds(connection: Connection, user_id: int) -> list[Row]:
    """A user's most common compounds, including ties, the chosen one first."""
    values = {"user_id": user_id, "length": NAME_LENGTH, "rows": PAGE_ROWS}
    return fetch(connection, read_sql("select_user_compounds"), values)


def find_compound_names(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The names of compounds, by id."""
    values = {"ids": list(ids), "length": NAME_LENGTH}
    found = fetch(connection, read_sql("select_compound_names"), values)
    return {row["compound_id"]: row["compound_name"] for row in found}


def find_history(connection: Connection, relation: Relation, id_: int) -> list[Row]:
    """The features of a user or compound period by period, the latest first."""
    query = read_sql("select_history").format(
        features=_shown_features(relation),
        history=sql.Identifier("features", relation.history),
        key=sql.Identifier(relation.key),
    )
    return fetch(connection, query, {"id": id_, "length": NAME_LENGTH, "rows": CHART_ROWS})


def find_named(connection: Connection, relation: Relation, text: str) -> Named:
    """The user or compound with this id, now or in the past, or with these words in its name."""
    id_, candidates = _id_in(text), []
    if text and id_ is None:
        candidates = find_rows(connection, relation, search=text, sort="name").rows[:CANDIDATES]
        if len(candidates) == 1:
            id_ = candidates.pop()[relation.key]
    if id_ is None:
        return Named(text, None, None, [], candidates)
    features = find_row(connection, relation, id_)
    history = find_history(connection, relation, id_)
    return Named(text, id_ if features or history else None, features, history, [])


def find_departure(connection: Connection, moment: datetime) -> str | None:
    """The run of the load that ended a period at a moment; None if it has been forgotten."""
    found = fetch(connection, read_sql("select_departure"), {"moment": moment})
    return str(found[0]["run_id"]) if found else None


def read_features(
    connection: Connection, relation: Relation
) -> Generator[list[tuple[Any, ...]], None, None]:
    """All rows of a relation, in batches; the first batch is the column names."""
    query = read_sql("export_features").format(
        features=_exported_features(relation), **_parts(relation)
    )
    return read_batches(connection, query)


def _parts(relation: Relation) -> dict[str, Any]:
    return {
        "relation": sql.Identifier("features", relation.name),
        "key": sql.Identifier(relation.key),
    }


def _shown_features(relation: Relation) -> sql.Composed:
    """The features as the page shows them: texts cut to the value length, lists left out."""
    cut = sql.SQL('"left"({name}, %(length)s) as {name}')
    return sql.SQL(", ").join(
        cut.format(name=sql.Identifier(feature.name))
        if feature.sql_type == "text"
        else sql.Identifier(feature.name)
        for feature in relation.features
        if not feature.is_list
    )


def _listed_features(relation: Relation) -> sql.Composed:
    """What a list shows: of users also how many compounds tie."""
    shown = _shown_features(relation)
    if relation is not USER_FEATURES:
        return shown
    return sql.SQL("{}, cardinality(most_common_compound_ids) as tied_compounds").format(shown)


def _exported_features(relation: Relation) -> sql.Composed:
    """The features as a download has them: texts in full, lists as text."""
    joined = sql.SQL("array_to_string({name}, ';') as {name}")
    return sql.SQL(", ").join(
        joined.format(name=sql.Identifier(feature.name))
        if feature.is_list
        else sql.Identifier(feature.name)
        for feature in relation.features
    )
