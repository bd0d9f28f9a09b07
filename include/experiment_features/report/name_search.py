"""Finds users and compounds by the words of their names: see load.words."""

from typing import Any

from psycopg import sql

from experiment_features.definitions import Relation
from experiment_features.load.database import Connection
from experiment_features.load.words import terms_of, words_of
from experiment_features.report.paging import Cursor, Page, fetch, read_page, read_sql

_EVERY = sql.SQL("name_before = ''")
_MATCHING = sql.SQL(
    # Of several words of a name that begin alike, the first counts.
    "name_from ^@ %(term)s and ' ' || name_before not like %(again)s "
    "and ' ' || name_before || ' ' || name_from like all (%(others)s)"
)


def find_by_name(
    connection: Connection,
    relation: Relation,
    features: sql.Composable,
    *,
    search: str = "",
    excluded: int | None = None,
    length: int,
    descending: bool = False,
    cursor: Cursor | None = None,
) -> Page:
    """A page of rows in the order of their names; ties are in the order of their ids.

    Args:
        connection: of a reader.
        relation: the relation.
        features: the columns to select.
        search: of each of its words, the beginning of a word of the name; empty for all rows.
        excluded: an id to leave out.
        length: of texts.
        descending: whether the order is reversed.
        cursor: an id.
    """
    key = sql.Identifier(relation.key)
    terms = terms_of(search)
    # The longest is likely to have the fewest matches.
    term = max(terms, key=len, default="")
    values: dict[str, Any] = {"excluded": excluded, "length": length, "cursor_name": None}
    if term:
        others = [other for other in terms if other != term]
        values |= {
            "term": term,
            "again": _pattern(term),
            "others": [_pattern(other) for other in others],
        }
    parts: dict[str, Any] = {"relation": sql.Identifier("features", relation.name), "key": key}
    if cursor:
        query = read_sql("select_name").format(**parts, name=sql.Identifier(relation.columns[1]))
        words = [
            word.name_from
            for row in fetch(connection, query, {"id": cursor.row})
            for word in words_of(next(iter(row.values())))
            if word.name_from.startswith(term)
        ]
        if not words:  # has been renamed or removed meanwhile
            return Page([], has_previous=True, has_next=False)
        values["cursor_name"] = words[0]
    return read_page(
        connection,
        "page_names",
        (sql.Identifier("name_from"), key),
        values,
        cursor,
        descending=descending,
        features=features,
        words=sql.Identifier("features", relation.words),
        condition=_MATCHING if term else _EVERY,
        **parts,
    )


def _pattern(term: str) -> str:
    """A pattern of LIKE for a text, with blanks before its words, in which a word begins so."""
    for special in "\\%_":
        term = term.replace(special, f"\\{special}")
    return f"% {term}%"
