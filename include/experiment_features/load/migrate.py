"""The schema `features`: created, or brought to this version."""

from experiment_features.errors import DatabaseRefused
from experiment_features.load.database import (
    Connection,
    connect,
    database_errors,
    read_sql,
)


def migrate(url: str, revision: str = "head") -> str:
    """Creates the schema `features`, or brings it to this version; safe to run again.

    The user must own the database, or be allowed to create schemas in it, and to create roles
    unless features_writer and features_reader are there. Waits for loads, and loads for it.

    Returns:
        The revision that the schema is at now.
    """
    # Alembic and SQLAlchemy take half a second to import, and only this needs them.
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    privilege = (
        "Migrate as the owner of the database; who may not create roles has `create role "
        "features_writer nologin; create role features_reader nologin` run by an administrator"
    )
    with database_errors("migrate the schema", privilege), connect(url) as connection:
        connection.execute("set lock_timeout = '60s'")  # rather than hold up every reader
        connection.execute(read_sql("take_migration_lock"))
        connection.execute("create schema if not exists features")
        connection.commit()
        try:
            return _upgrade(connection, revision)
        except DBAPIError as error:
            raise error.orig or error from error
        except CommandError as error:
            raise DatabaseRefused(
                f"cannot migrate the schema: {error}. A newer version of this program made it"
            ) from error


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
