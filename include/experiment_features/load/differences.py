"""The rows in which what was computed again differs from what was loaded then, or is there now."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from experiment_features.definitions import Relation, relations_at
from experiment_features.errors import ConfigurationError
from experiment_features.load.database import Connection, database_errors, read_sql
from experiment_features.load.issues import stage_issues
from experiment_features.load.ledger import find_last_load
from experiment_features.load.loads import Load
from experiment_features.load.merge import compare, statement_parts
from experiment_features.workspace import Workspace

SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """A row that differs; ``then`` and ``now`` have only the columns that do.

    One of them is None if the row is only in the other.
    """

    relation: str
    id: int | str
    """Of a user or compound; of an issue, the run that brought the row, its place and the rule."""
    then: dict[str, Any] | None
    """As it was loaded, or is in the database."""
    now: dict[str, Any] | None
    """As it was computed again."""


def find_differences(connection: Connection, load: Load, workspace: Workspace) -> list[Difference]:
    """The first rows that differ from the history in features of then, in the order of their ids.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        load: what was loaded then.
        workspace: of a run whose transform stage is done.

    Raises:
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    found: list[Difference] = []
    doing = f"compare with what run {load.run_id} had loaded"
    with database_errors(doing, connection=connection), connection.transaction(force_rollback=True):
        for relation in relations_at(load.definition_version):
            then = sql.Identifier(f"then_{relation.name}")
            parts = statement_parts(relation) | {"relation": then, "known": then}
            statement = read_sql("recall").format(
                history=sql.Identifier("features", relation.history), **parts
            )
            connection.execute(statement, {"moment": load.finished_at})
            found += _compared(connection, relation, workspace, parts, SHOWN - len(found))
    return found


def find_present_differences(
    connection: Connection, load: Load, workspace: Workspace
) -> list[Difference]:
    """The first rows of features and open issues that differ from what they should be now.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        load: the last load.
        workspace: of a run on what it had loaded, whose transform stage is done.

    Raises:
        ConfigurationError: another drop has been loaded meanwhile.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    found: list[Difference] = []
    doing = "compare with what the database holds"
    with database_errors(doing, connection=connection), connection.transaction(force_rollback=True):
        connection.execute("set transaction isolation level repeatable read")
        last = find_last_load(connection)
        if last is None or last.result.run_id != load.run_id:
            raise ConfigurationError(
                f"what run {load.run_id} had loaded is no longer in force, because another drop "
                "has been loaded meanwhile: try again"
            )
        for relation in relations_at(load.definition_version):
            parts = statement_parts(relation)
            found += _compared(connection, relation, workspace, parts, SHOWN - len(found))
        # Rows of the load's own drop have no run id in the workspace.
        stage_issues(connection, workspace.issues, load.layers[-1]["run_id"])
        statement = read_sql("select_issue_differences")
        found += _differences(connection, statement, "data_issues", SHOWN - len(found))
    return found


def _compared(
    connection: Connection,
    relation: Relation,
    workspace: Workspace,
    parts: dict[str, sql.Composable],
    most: int,
) -> list[Difference]:
    """The first rows of a relation that differ from those in a workspace."""
    compare(connection, relation, workspace.features(relation.name), parts)
    statement = read_sql("select_differences").format(**parts)
    return _differences(connection, statement, relation.name, most)


def _differences(
    connection: Connection, statement: sql.SQL | sql.Composed, name: str, most: int
) -> list[Difference]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement, {"rows": most}).fetchall()
    return [Difference(name, row["id"], *_changed(row)) for row in rows]


def _changed(row: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Then and now, without what is the same in both."""
    then, now = row["then"], row["now"]
    if then is None or now is None:
        return then, now
    names = [name for name in now if then.get(name) != now[name]]
    return {name: then.get(name) for name in names}, {name: now[name] for name in names}
