"""PostgreSQL: connections, the load's transaction and lock, and the meaning of errors.

Callers pass in a connection: the DAG's comes from PostgresHook, the command line's from a URL.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from experiment_features.errors import DatabaseRefused, DatabaseUnavailable

Connection = psycopg.Connection[Any]

TIMEOUT_SECONDS = 3600.0
"""How long a statement may take, unless the caller says otherwise."""

LOCK_WAIT_SECONDS = 300.0
"""How long a load waits for another one, but never more than half of its own timeout."""

_SQL = Path(__file__).parent / "sql"

_TRANSIENT = (
    # Down, restarting, connection lost, lock or statement timeout, deadlock, serialisation.
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby, which a failover is about to promote
)
_SCHEMA_ERRORS = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.InvalidSchemaName,
)
# When a server refuses a connection, libpq knows the reason only as text. In languages other than
# English such an error counts as transient, which only costs a few attempts.
_CONNECTION_REFUSED = re.compile(
    r"FATAL: .*(authentication failed|pg_hba\.conf|does not exist|permission denied|not permitted)"
    r"|no password supplied"
)


@contextmanager
def database_errors(
    doing: str, privilege: str = "Grant the user the role features_writer"
) -> Iterator[None]:
    """Turns psycopg's errors into the pipeline's, adding what was being done.

    Args:
        doing: completes "cannot ...".
        privilege: what to do when a privilege is missing.

    Raises:
        DatabaseUnavailable: trying again may help.
        DatabaseRefused: it will not: no schema, no privilege, or data that violates a constraint.
    """
    try:
        yield
    except _TRANSIENT as error:
        if error.sqlstate is None and _CONNECTION_REFUSED.search(str(error)):
            raise DatabaseRefused(
                f"cannot {doing}: {_first_line(error)}. Check host, database, user and password"
            ) from error
        raise DatabaseUnavailable(f"cannot {doing}: {_first_line(error)}") from error
    except _SCHEMA_ERRORS as error:
        raise DatabaseRefused(
            f"cannot {doing}: {_first_line(error)}. The schema is missing or outdated: run "
            "`python -m experiment_features migrate --database-url URL`, or on the local stack "
            "`scripts/features.sh migrate`"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}. {privilege}") from error
    except psycopg.Error as error:
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def connect(url: str) -> Connection:
    """Opens a connection; the caller closes it.

    Raises:
        DatabaseUnavailable: the server cannot be reached.
        DatabaseRefused: it refuses the connection, or the URL is not valid.
    """
    try:
        with database_errors("connect to the database"):
            return psycopg.connect(url, connect_timeout=10, application_name="experiment_features")
    except DatabaseRefused as refusal:
        if isinstance(refusal.__cause__, psycopg.ProgrammingError):  # libpq repeats the URL
            raise DatabaseRefused(
                "the database URL is not valid: expected "
                "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with characters such as @ and / in "
                "the password written as %40 and %2F"
            ) from None
        raise


@contextmanager
def load_transaction(
    connection: Connection,
    doing: str,
    *,
    name: str,
    timeout_seconds: float = TIMEOUT_SECONDS,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Iterator[None]:
    """A transaction during which no other load runs in this database.

    Args:
        connection: not in a transaction.
        doing: completes "cannot ...".
        name: how this transaction is named to others that wait for it.
        timeout_seconds: how long a statement may take, and how long the session may be idle.
        lock_wait_seconds: how long to wait for another load, and for any other lock.

    Raises:
        DatabaseUnavailable, DatabaseRefused: as in database_errors, or another load took longer
            than ``lock_wait_seconds``.
    """
    wait_seconds = min(lock_wait_seconds, timeout_seconds / 2)
    with database_errors(doing), connection.transaction():
        # With a stricter default, the snapshot would be older than the lock.
        connection.execute("set transaction isolation level read committed")
        connection.execute(
            read_sql("set_load_options"),
            {
                "application_name": f"experiment_features {name}",
                "timeout": f"{max(1, int(timeout_seconds * 1000))}ms",
                "lock_timeout": f"{max(1, int(wait_seconds * 1000))}ms",
            },
        )
        _take_load_lock(connection, doing, wait_seconds)
        yield


def _take_load_lock(connection: Connection, doing: str, wait_seconds: float) -> None:
    """Waits until no other load runs, for the rest of this transaction."""
    try:
        with connection.transaction():  # a savepoint, so that the holder can still be queried
            connection.execute(read_sql("take_load_lock"))
    except psycopg.errors.LockNotAvailable as error:
        row = connection.execute(read_sql("select_lock_holder")).fetchone()
        holder = row[0] if row else "a session that has just ended"
        raise DatabaseUnavailable(
            f"cannot {doing}: after {wait_seconds:g} s, the load lock is still held by {holder}. "
            "Wait for it, or end it with `select pg_terminate_backend(PROCESS)`"
        ) from error


def read_sql(name: str, folder: Path = _SQL) -> sql.SQL:
    """The statement in ``<folder>/<name>.sql``; its values are named parameters."""
    return sql.SQL((folder / f"{name}.sql").read_text())
