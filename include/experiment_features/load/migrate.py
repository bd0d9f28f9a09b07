"""Creates the schema `features`, or upgrades it to this version.

Tables change through revisions (migrations/versions), each applied once. The columns of new
features, the views and the functions follow from definitions.py and need no revision; grants are
repeated each time.
"""

import hashlib
from pathlib import Path

from psycopg import sql

from experiment_features.definitions import RELATIONS, USER_FEATURES
from experiment_features.errors import DatabaseRefused
from experiment_features.load.database import (
    Connection,
    comma_separated,
    connect,
    database_errors,
    read_sql,
)

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(url: str, revision: str = "head") -> str:
    """Creates the schema `features`, or upgrades it to this version; safe to run again.

    The user must own the database or be allowed to create schemas in it, and must be allowed to
    create roles unless features_writer, features_reader and features_steward exist. Loads and
    migrations wait for each other.

    Returns:
        The revision that the schema is now at.
    """
    # Alembic and SQLAlchemy take half a second to import, and only this needs them.
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    privilege = (
        "Migrate as the owner of the database; if you may not create roles, have an administrator "
        "run `create role features_writer nologin; create role features_reader nologin; "
        "create role features_steward nologin`"
    )
    with database_errors("migrate the schema", privilege), connect(url) as connection:
        connection.execute("set lock_timeout = '60s'")  # rather than block every reader
        connection.execute(read_sql("take_migration_lock"))
        connection.execute("create schema if not exists features")
        connection.execute(read_sql("roles", _MIGRATIONS))
        connection.commit()
        try:
            reached = _upgrade(connection, revision)
        except DBAPIError as error:
            raise error.orig or error from error
        except CommandError as error:
            raise DatabaseRefused(
                f"cannot migrate the schema: {error}. A newer version of this program created it"
            ) from error
        if revision == "head":
            _add_features(connection)
            _define_views(connection)
            ((database,),) = connection.execute("select current_database()").fetchall()
            columns = [c for c in _columns_of(connection, "pipeline_runs") if c != "message"]
            grants = read_sql("grants", _MIGRATIONS).format(
                database=sql.Identifier(database), run_columns=comma_separated(columns)
            )
            connection.execute(grants)
            connection.commit()
        return reached


def _add_features(connection: Connection) -> None:
    """Adds the columns of new features; they are null until a load computes them."""
    add = sql.SQL("alter table {table} add column {name} {type}")
    for relation in RELATIONS:
        for table in filter(None, (relation.name, relation.past)):
            known = _columns_of(connection, table)
            for feature in relation.features:
                if feature.name not in known:
                    connection.execute(
                        add.format(
                            table=sql.Identifier("features", table),
                            name=sql.Identifier(feature.name),
                            type=sql.SQL(feature.sql_type),
                        )
                    )


def _define_views(connection: Connection) -> None:
    """Recreates the views and functions only if they have changed: readers have to wait."""
    report = list(USER_FEATURES.columns)
    report.insert(report.index("total_experiments") + 1, "average_experiments_per_user")
    history = [*USER_FEATURES.columns, "valid_from", "valid_to", "run_id"]
    statements = read_sql("views", _MIGRATIONS).format(
        features=comma_separated(USER_FEATURES.columns),
        history_columns=_view_columns(connection, "user_features_history", history),
        report_columns=_view_columns(
            connection, "user_feature_report", [*report, "run_id", "updated_at"]
        ),
    )
    version = hashlib.sha256(statements.as_bytes(connection)).hexdigest()
    ((known,),) = connection.execute(read_sql("select_views_version")).fetchall()
    if known != f"views {version}":
        connection.execute(statements)
        comment = sql.SQL("comment on schema features is {}")
        connection.execute(comment.format(sql.Literal(f"views {version}")))


def _view_columns(connection: Connection, view: str, wanted: list[str]) -> sql.Composed:
    """The columns of a view: the existing ones in their order, then the new ones."""
    known = _columns_of(connection, view)
    return comma_separated([*known, *(name for name in wanted if name not in known)])


def _columns_of(connection: Connection, relation: str) -> list[str]:
    """The columns of a table or view in their order; none if it does not exist."""
    values = {"relation": f"features.{relation}"}
    return [name for (name,) in connection.execute(read_sql("select_columns"), values)]


def _upgrade(connection: Connection, revision: str) -> str:
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine

    config = Config()
    config.set_main_option("script_location", "experiment_features.load:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection)
    with engine.connect() as bound:
        config.attributes["connection"] = bound
        command.upgrade(config, revision)
        context = MigrationContext.configure(
            bound, opts={"version_table": "schema_version", "version_table_schema": "features"}
        )
        return str(context.get_current_revision())
