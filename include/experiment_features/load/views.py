"""The views and functions of the schema, composed from definitions.py.

They are recreated when their text changes, or when somebody has changed them. A view only gains
columns, at its end, so that whatever users have built on it stays.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from experiment_features.definitions import RELATIONS, USER_FEATURES
from experiment_features.errors import DatabaseRefused
from experiment_features.load.database import Connection, columns_of, comma_separated, read_sql

_SCRIPTS = Path(__file__).parent / "migrations"

CONFIDENTIAL = ("value", "raw_row")
"""The columns of data_issues that readers cannot see."""

READABLE_CELLS = ("user_id", "experiment_compound_ids", "experiment_run_time")
"""Of the row in ``raw_row``, what readers can see all the same (reported_issues.sql)."""

_AS_OF = "user_features_as_of"


@dataclass(frozen=True)
class _View:
    name: str
    script: str
    columns: Sequence[str]
    parts: dict[str, sql.Composable] = field(default_factory=dict)

    def statement(self, connection: Connection, *, is_new: bool = False) -> sql.Composed:
        """Defines the view: its present columns in their order, then the new ones."""
        known = [] if is_new else columns_of(connection, self.name)
        columns = [*known, *(name for name in self.columns if name not in known)]
        script = read_sql(self.script, _SCRIPTS)
        return script.format(columns=comma_separated(columns), **self.parts)


def define_views(connection: Connection, issue_columns: Sequence[str]) -> None:
    """Recreates the views and functions only if they have changed: readers have to wait.

    Args:
        connection: of the owner of the schema, in a transaction.
        issue_columns: those of data_issues, without what users have added.

    Raises:
        DatabaseRefused: one was changed by hand, and cannot be put right.
    """
    views = _views(issue_columns)
    known, defined = _recorded(connection, views)
    if known == f"{_version(connection, views)} {defined}":
        return
    for view in views:
        with _named(f"view features.{view.name}"):
            _define(connection, view)
    with _named(f"function features.{_AS_OF}(timestamptz)"):
        _define_as_of(connection)
    _, defined = _recorded(connection, views)
    comment = sql.SQL("comment on schema features is {}")
    connection.execute(comment.format(sql.Literal(f"{_version(connection, views)} {defined}")))


def _views(issue_columns: Sequence[str]) -> list[_View]:
    report = list(USER_FEATURES.columns)
    report.insert(report.index("total_experiments") + 1, "average_experiments_per_user")
    histories = [
        _View(
            relation.history,
            "history",
            [*relation.columns, "valid_from", "valid_to", "run_id"],
            {
                "history": sql.Identifier("features", relation.history),
                "past": sql.Identifier("features", relation.past),
                "relation": sql.Identifier("features", relation.name),
                "features": comma_separated(relation.columns),
                "comment": sql.Literal(
                    f"Grain: {relation.grain} and period, [valid_from, valid_to); valid_to is null "
                    "while the period lasts."
                ),
            },
        )
        for relation in RELATIONS
    ]
    readable = [name for name in issue_columns if name not in CONFIDENTIAL]
    return [
        *histories,
        _View("user_feature_report", "user_feature_report", [*report, "run_id", "updated_at"]),
        _View("latest_data_issues", "latest_data_issues", issue_columns),
        _View(
            "reported_issues",
            "reported_issues",
            [*readable, *READABLE_CELLS],
            {"issue_columns": comma_separated(readable)},
        ),
    ]


def _define(connection: Connection, view: _View) -> None:
    """Replaces a view; drops it before, if it no longer has the columns that it should."""
    if not _can_replace(connection, view.statement(connection)):
        if view.name == USER_FEATURES.history:  # whose rows the function returns
            _drop_as_of(connection)
        drop = sql.SQL("drop view if exists {}")
        connection.execute(drop.format(sql.Identifier("features", view.name)))
        connection.execute(view.statement(connection, is_new=True))


def _define_as_of(connection: Connection) -> None:
    statement = _as_of(connection)
    if not _can_replace(connection, statement):
        _drop_as_of(connection)
        connection.execute(statement)


def _can_replace(connection: Connection, statement: sql.Composed) -> bool:
    """Defines a view or function, unless what has its name differs too much to be replaced."""
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.ProgrammingError:
        return False
    return True


def _as_of(connection: Connection) -> sql.Composed:
    return read_sql(_AS_OF, _SCRIPTS).format(
        features=comma_separated(USER_FEATURES.columns),
        history_columns=comma_separated(columns_of(connection, USER_FEATURES.history)),
    )


def _drop_as_of(connection: Connection) -> None:
    drop = sql.SQL("drop function if exists {}(timestamptz)")
    connection.execute(drop.format(sql.Identifier("features", _AS_OF)))


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Names what cannot be put right, and what to do.

    Raises:
        DatabaseRefused: something else has its place, or depends on it.
    """
    changed = f"cannot migrate the schema: {what} was changed by hand"
    try:
        yield
    except psycopg.errors.DependentObjectsStillExist as error:
        others = "; ".join((error.diag.message_detail or "").splitlines())
        raise DatabaseRefused(
            f"{changed}, and cannot be put right because of what others have built on it "
            f"({others}): drop that, migrate again, and create it again"
        ) from error
    except psycopg.errors.WrongObjectType as error:
        raise DatabaseRefused(
            f"{changed}: {error.diag.message_primary}. Rename or drop what has its place, and "
            "migrate again"
        ) from error


def _version(connection: Connection, views: Sequence[_View]) -> str:
    """A name for what the views and functions should be."""
    statements = sql.SQL(";\n").join(
        [*(view.statement(connection) for view in views), _as_of(connection)]
    )
    return f"views {hashlib.sha256(statements.as_bytes(connection)).hexdigest()}"


def _recorded(connection: Connection, views: Sequence[_View]) -> tuple[str | None, str]:
    """Which version of the views the schema has, and a hash of their actual definitions."""
    values = {"views": sorted(view.name for view in views)}
    ((known, defined),) = connection.execute(read_sql("select_views_version"), values).fetchall()
    return known, defined
