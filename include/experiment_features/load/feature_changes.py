"""How the features of a relation change, feature by feature, the largest changes first.

Plans compare what a load would bring, and the page what one has brought.
"""

from collections.abc import Callable

from psycopg import sql

from experiment_features.definitions import Feature, Relation
from experiment_features.load.database import read_sql

KEYS = (
    sql.SQL("(-size)"),
    sql.SQL("(-relative_size)"),
    sql.Identifier("id"),
    sql.Identifier("feature"),
)
"""The order of changes: by change of total_experiments, then by relative change of the averages,
then by id."""

LISTED = 1_000
"""How many rows that are new, changed or gone a load keeps the ids of, for the page: the largest
changes of each."""

_RELATIVE = sql.SQL("coalesce(abs({after} - {before}) / nullif({before}, 0), 'infinity')")

Shape = Callable[[Feature, sql.Composable], sql.Composable]


def pair_columns(relation: Relation) -> sql.Composed:
    """Each feature of the tables `before` and `after`, under names of their own."""
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(sql.Identifier(side, feature.name), _of(side, feature))
        for side in ("before", "after")
        for feature in relation.features[1:]
    )


def changes_of(relation: Relation, pairs: sql.Composable) -> sql.Composed:
    """The query for the changes of rows that are paired: see select_feature_changes.sql."""
    features = sql.SQL(", ").join(map(_compared, relation.features[1:]))
    return read_sql("select_feature_changes").format(pairs=pairs, features=features)


def as_json(relation: Relation, side: str, shape: Shape = lambda _, value: value) -> sql.Composed:
    """The value of a change's feature, `before` or `after`; null for one that comes or goes."""
    branches = sql.SQL(" ").join(
        sql.SQL("when {} then to_jsonb({})").format(
            sql.Literal(feature.name), shape(feature, _of(side, feature))
        )
        for feature in relation.features[1:]
    )
    return sql.SQL("case feature {} end").format(branches)


def relative_size(relation: Relation) -> sql.Composed:
    """By which part of itself an average changes most, from the table current to staged."""
    change = sql.SQL("case when {after} is distinct from {before} then {size} else 0 end")
    changes: list[sql.Composable] = [sql.SQL("0")]
    for average in (f.name for f in relation.features if f.sql_type == "double precision"):
        sides = {
            "before": sql.Identifier("current", average),
            "after": sql.Identifier("staged", average),
        }
        changes.append(change.format(**sides, size=_RELATIVE.format(**sides)))
    return sql.SQL("greatest(0::float8, {})").format(sql.SQL(", ").join(changes))


def _of(side: str, feature: Feature) -> sql.Identifier:
    return sql.Identifier(f"{side}_{feature.name}")


def _compared(feature: Feature) -> sql.Composed:
    """Of a feature: its name, whether it differs, its size and its relative_size."""
    row = sql.SQL("({name}, {before} is distinct from {after}, 0, 0)")
    if feature.name == "total_experiments":
        row = sql.SQL(
            "({name}, {before} is distinct from {after}, "
            "abs(coalesce({after}, 0) - coalesce({before}, 0)), 0::float8)"
        )
    elif feature.sql_type == "double precision":
        row = sql.SQL("({name}, {before} is distinct from {after}, 0, {relative})")
    sides = {side: _of(side, feature) for side in ("before", "after")}
    return row.format(name=sql.Literal(feature.name), relative=_RELATIVE.format(**sides), **sides)
