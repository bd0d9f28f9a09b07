"""What a run changed, or would have removed if it was held: from the history, largest first."""

from collections.abc import Generator
from itertools import islice
from typing import Any, Literal, NamedTuple

from psycopg import sql

from experiment_features.definitions import Feature, Relation
from experiment_features.load.database import Connection, comma_separated
from experiment_features.load.feature_changes import (
    KEYS,
    Shape,
    as_json,
    changes_of,
    pair_columns,
)
from experiment_features.report.feature_queries import NAME_LENGTH
from experiment_features.report.paging import (
    Cursor,
    Page,
    Row,
    fetch,
    read_batches,
    read_page,
    read_sql,
)

Kind = Literal["new", "changed", "gone"]

_HELD_KEYS = (sql.SQL("(-total_experiments)"), sql.Identifier("id"))


class ChangePlace(NamedTuple):
    """What identifies a change within its run, with what it is sorted by."""

    size: int
    relative_size: float | None
    """None if it is infinite."""
    id: int
    feature: str


def find_changes(
    connection: Connection,
    relation: Relation,
    run: Row,
    *,
    kind: Kind | None = None,
    feature: str | None = None,
    cursor: Cursor | None = None,
) -> Page:
    """A page of what a run changed, in the order of a plan; ``cursor`` is a ChangePlace.

    Each row has id and name, kind, feature, and its values before and after. Of a row that is new
    or gone, there is only the number of experiments. Of a load that changed very many rows, only
    those with the largest changes are found: see feature_changes.LISTED.
    """
    values = _values(relation, run, kind, feature) | {
        "length": NAME_LENGTH,
        **_place(cursor.row if cursor else None),
    }
    name, keys, parts = _query(
        relation, run, "largest_ids", _cut, sql.SQL('"left"({}, %(length)s)')
    )
    return read_page(connection, name, keys, values, cursor, **parts)


def count_changes(connection: Connection, relation: Relation, run: Row) -> dict[Kind, int]:
    """How many rows a run added, changed and removed, or would have removed."""
    query = read_sql("count_held_changes" if run["status"] == "held" else "count_changes")
    (counts,) = fetch(connection, query, _values(relation, run)) or [{}]
    return {kind: counts.get(kind, 0) for kind in ("new", "changed", "gone")}


def find_load_before(connection: Connection, run: Row) -> str | None:
    """The load that was in force before a run; None if there was none, or it is forgotten."""
    found = fetch(connection, read_sql("select_load_before"), {"run_id": run["run_id"]})
    return str(found[0]["run_id"]) if found else None


def read_changes(
    connection: Connection,
    relation: Relation,
    run: Row,
    *,
    kind: Kind | None = None,
    feature: str | None = None,
) -> Generator[list[tuple[Any, ...]], None, None]:
    """All that `find_changes` has, texts in full, in batches; the first is the column names."""
    name, keys, parts = _query(relation, run, "changed_ids", _joined, sql.SQL("{}"))
    ordered = sql.SQL(", ").join(keys)
    query = read_sql(name).format(keys=ordered, order=ordered, beyond=sql.SQL(">"), **parts)
    values = _values(relation, run, kind, feature) | {
        "rows": None,
        **_place(None),
    }
    yield [(*relation.columns[:2], "kind", "feature", "before", "after", "run_id")]
    for rows in islice(read_batches(connection, query, values), 1, None):
        yield [(*row[:4], *row[6:], run["run_id"]) for row in rows]


def _query(
    relation: Relation, run: Row, ids: str, shape: Shape, name: sql.SQL
) -> tuple[str, tuple[sql.Composable, ...], dict[str, Any]]:
    """The statement for the changes of a run, its keys, and its parts."""
    if run["status"] == "held":
        return "page_held_changes", _HELD_KEYS, {"shown_name": name.format(sql.Identifier("name"))}
    past, key = sql.Identifier("features", relation.past), sql.Identifier(relation.key)
    periods = read_sql("all_periods").format(
        columns=comma_separated(relation.columns),
        relation=sql.Identifier("features", relation.name),
        past=past,
    )
    pairs = read_sql("pair_periods").format(
        pair=pair_columns(relation),
        ids=read_sql(ids).format(past=past, key=key),
        past=past,
        key=key,
        periods=periods,
    )
    names = (sql.Identifier(f"{side}_{relation.columns[1]}") for side in ("after", "before"))
    parts = {
        "changes": changes_of(relation, pairs),
        "before": as_json(relation, "before", shape),
        "after": as_json(relation, "after", shape),
        "shown_name": name.format(sql.SQL("coalesce({}, {})").format(*names)),
    }
    return "page_changes", KEYS, parts


def _values(
    relation: Relation, run: Row, kind: Kind | None = None, feature: str | None = None
) -> dict[str, Any]:
    return {
        "run_id": run["run_id"],
        "loaded_at": run["loaded_at"],
        "table_name": relation.table,
        "kind": kind,
        "feature": feature,
    }


def _place(row: ChangePlace | None) -> dict[str, Any]:
    return {f"cursor_{name}": getattr(row, name, None) for name in ChangePlace._fields}


def _joined(feature: Feature, value: sql.Composable) -> sql.Composable:
    """A list as text."""
    return sql.SQL("array_to_string({}, ';')").format(value) if feature.is_list else value


def _cut(feature: Feature, value: sql.Composable) -> sql.Composable:
    """Text of limited length."""
    if feature.is_list:
        value = _joined(feature, sql.SQL("{}[1:%(length)s]").format(value))
    if feature.is_list or feature.sql_type == "text":
        return sql.SQL('"left"({}, %(length)s)').format(value)
    return value
