"""PostgreSQL: connections, the schema, and what its errors mean.

Callers hand a connection in: the DAG's comes from PostgresHook, the command line's from a URL.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from experiment_features.errors import DatabaseRefused, DatabaseUnavailable

Connection = psycopg.Connection[Any]

_SQL = files("experiment_features") / "sql"

_TRANSIENT = (
    psycopg.OperationalError,  # away, restarting, connection cut, lock or statement timeout
    psycopg.InterfaceError,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
)


@contextmanager
def database_errors(doing: str) -> Iterator[None]:
    """Turns psycopg's errors into the pipeline's, with what was being done.

    Raises:
        DatabaseUnavailable: trying again may help.
        DatabaseRefused: it will not: no schema, no privilege, or data that breaks a constraint.
    """
    try:
        yield
    except _TRANSIENT as error:
        raise DatabaseUnavailable(f"cannot {doing}: {_first_line(error)}") from error
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise DatabaseRefused(
            f"cannot {doing}: {_first_line(error)}. The schema is missing or old: run "
            "`python -m experiment_features migrate --database-url URL`"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseRefused(
            f"cannot {doing}: {_first_line(error)}. Grant the user the role features_writer"
        ) from error
    except psycopg.Error as error:
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def connect(url: str) -> Connection:
    """Opens a connection; the caller closes it.

    Raises:
        DatabaseUnavailable: the server cannot be reached, or lets nobody in.
    """
    with database_errors("connect to the database"):
        return psycopg.connect(url, connect_timeout=10, application_name="experiment_features")


def migrate(url: str) -> str:
    """Creates the schema `features`, or brings it to this version; safe to run again.

    The user must own the database, or be allowed to create schemas and roles in it.

    Returns:
        The revision that the schema is at now.
    """
    # Alembic and SQLAlchemy take half a second to import, and only this needs them.
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine

    config = Config()
    config.set_main_option("script_location", "experiment_features:migrations")
    config.set_main_option("path_separator", "os")
    with database_errors("migrate the schema"), connect(url) as connection:
        connection.execute("select pg_advisory_lock(hashtext('features.migrate'))")
        connection.execute("create schema if not exists features")
        connection.commit()
        engine = create_engine("postgresql+psycopg://", creator=lambda: connection)
        with engine.connect() as bound:
            config.attributes["connection"] = bound
            command.upgrade(config, "head")
            context = MigrationContext.configure(
                bound,
                opts={"version_table": "schema_version", "version_table_schema": "features"},
            )
            return str(context.get_current_revision())


def read_sql(name: str) -> sql.SQL:
    """The statement in ``sql/<name>.sql``; its values are named parameters."""
    return sql.SQL((_SQL / f"{name}.sql").read_text())


def copy_batches(
    connection: Connection, statement: sql.SQL, batches: Iterable[pa.RecordBatch]
) -> int:
    """Streams Arrow batches into ``statement``, a COPY ... FROM STDIN in CSV.

    NULL is an empty field without quotes; Arrow writes every string in quotes.

    Returns:
        The number of rows copied.
    """
    options = csv.WriteOptions(include_header=False, quoting_style="needed")
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for batch in batches:
                sink = pa.BufferOutputStream()
                csv.write_csv(batch, sink, options)
                copy.write(memoryview(sink.getvalue()))
        return cursor.rowcount
