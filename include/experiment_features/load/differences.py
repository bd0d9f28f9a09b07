"""The rows in which features that were computed again differ from those of then."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from experiment_features.definitions import relations_at
from experiment_features.load.database import Connection, database_errors, read_sql
from experiment_features.load.loads import Load
from experiment_features.load.merge import compare, statement_parts
from experiment_features.workspace import Workspace

SHOWN = 10


@dataclass(frozen=True)
class Difference:
    """A row that differs; ``then`` and ``now`` have only the features that do.

    One of them is None if the row is only in the other.
    """

    relation: str
    id: int
    then: dict[str, Any] | None
    now: dict[str, Any] | None


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
                history=sql.Identifier("features", f"{relation.name}_history"), **parts
            )
            connection.execute(statement, {"moment": load.finished_at})
            compare(connection, relation, workspace.features(relation.name), parts)
            with connection.cursor(row_factory=dict_row) as cursor:
                query = read_sql("select_differences").format(**parts)
                rows = cursor.execute(query, {"rows": SHOWN - len(found)}).fetchall()
            found += [Difference(relation.name, row["id"], *_changed(row)) for row in rows]
    return found


def _changed(row: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Then and now, without what is the same in both."""
    then, now = row["then"], row["now"]
    if then is None or now is None:
        return then, now
    names = [name for name in now if then.get(name) != now[name]]
    return {name: then.get(name) for name in names}, {name: now[name] for name in names}
