"""PostgreSQL: connections, the load's transaction and lock, and the meaning of errors.

Callers pass in a connection: the DAG's comes from PostgresHook, the command line's from a URL.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from experiment_features.errors import DatabaseRefused, DatabaseUnavailable

Connection = psycopg.Connection[Any]
Connect = Callable[[], AbstractContextManager[Connection]]

TIMEOUT_SECONDS = 3600.0
"""How long a statement may take, unless the caller says otherwise."""

LOCK_WAIT_SECONDS = 300.0
"""How long a load waits for another one, but never more than half of its own timeout."""

_SHORT_LOCK_WAIT = "30s"
"""How long any other statement waits for a lock."""

_REVISIONS = Path(__file__).parent / "migrations" / "versions"
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
_NEEDS_UTF8 = (
    "The database needs the encoding UTF8: create another one with "
    "`create database NAME encoding 'UTF8' template template0`"
)
_FUNCTION = re.compile(r"PL/\w+ function (?!inline_code_block)(.+?\))")
"""Where an error comes from that a function raises; not one of our scripts."""

_POLICY_CHECK = "check_enable_rls"
"""Where PostgreSQL raises that a policy would hide rows; the message may be in any language."""

_MIGRATE = (
    "The schema is missing or outdated: run "
    "`python -m experiment_features migrate --database-url URL`, or on the local stack "
    "`scripts/features.sh migrate`"
)
_GRANT = (
    "Grant the user the role features_writer, or if the user is only to read, features_reader or "
    "features_steward, who sees rows; `migrate` repeats their rights"
)
_END_HOLDER = "Wait for it, or end it with `select pg_terminate_backend(PROCESS)`"


@contextmanager
def database_errors(
    doing: str,
    privilege: str = _GRANT,
    connection: Connection | None = None,
    schema: str = _MIGRATE,
) -> Iterator[None]:
    """Turns psycopg's errors into the pipeline's, adding what was being done.

    Args:
        doing: completes "cannot ...".
        privilege: what to do when a privilege is missing.
        connection: finds out who holds a lock that could not be obtained in time.
        schema: what to do when a relation or column is missing.

    Raises:
        DatabaseUnavailable: trying again may help.
        DatabaseRefused: it will not: no schema, no privilege, or data that violates a constraint.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        holder = _find_holder(connection) if connection else None
        raise DatabaseUnavailable(
            f"cannot {doing}: {_first_line(error)}. {holder or 'Another session'} holds the lock. "
            f"{_END_HOLDER}"
        ) from error
    except _TRANSIENT as error:
        if error.sqlstate is None and _CONNECTION_REFUSED.search(str(error)):
            raise DatabaseRefused(
                f"cannot {doing}: {_first_line(error)}. Check host, database, user and password"
            ) from error
        raise DatabaseUnavailable(f"cannot {doing}: {_first_line(error)}") from error
    except _SCHEMA_ERRORS as error:
        if function := _FUNCTION.match(error.diag.context or ""):
            schema = (
                f"It is not found by {function[1]}, a function of somebody's trigger, which has to "
                "name the schema: the search path holds none but pg_catalog"
            )
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}. {schema}") from error
    except psycopg.errors.InsufficientPrivilege as error:
        if error.diag.source_function == _POLICY_CHECK:
            privilege = (
                "All rows have to be seen: exempt the user from policies (`alter role NAME "
                "bypassrls`), or disable them (`alter table TABLE disable row level security`)"
            )
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}. {privilege}") from error
    except psycopg.errors.FeatureNotSupported as error:
        raise DatabaseRefused(
            f"cannot {doing}: {_first_line(error)}. Find and remove the rule of that table"
        ) from error
    except psycopg.errors.UntranslatableCharacter as error:  # the error names both encodings
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}. {_NEEDS_UTF8}") from error
    except psycopg.Error as error:
        raise DatabaseRefused(f"cannot {doing}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def connect(url: str) -> Connection:
    """Opens a connection; the caller closes it.

    Raises:
        DatabaseUnavailable: the server cannot be reached.
        DatabaseRefused: it refuses the connection, or the URL is not valid; or see start_session.
    """
    if not _is_valid(url):
        raise DatabaseRefused(
            "the database URL is not valid: expected "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with characters such as @ and / in "
            "the password percent-encoded, as %40 and %2F"
        )
    with database_errors("connect to the database"):
        try:
            connection = psycopg.connect(
                url, connect_timeout=10, application_name="experiment_features"
            )
        except UnicodeError as error:  # a part of the host's name is empty, or very long
            raise DatabaseRefused(
                f"cannot connect to the database: no host can have this name ({error})"
            ) from error
    try:
        start_session(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_valid(url: str) -> bool:
    """Whether PostgreSQL accepts the URL without taking part of the password for something else."""
    try:
        parts = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError):  # their messages repeat the password
        return False
    hosts = [host for host in str(parts.get("host", "")).split(",") if not host.startswith("/")]
    ports = [port for port in str(parts.get("port", "")).split(",") if port]
    named = [*hosts, str(parts.get("dbname", ""))]
    return not any("@" in name for name in named) and all(map(str.isdecimal, ports))


def start_session(connection: Connection) -> None:
    """Makes a new session independent of settings in environment, role, database and server.

    Raises:
        DatabaseRefused: the database cannot hold text, or a newer version of this program has
            migrated it.
        DatabaseUnavailable: as in database_errors.
    """
    with database_errors("connect to the database", connection=connection):
        encoding = connection.info.parameter_status("server_encoding")
        if encoding == "SQL_ASCII":  # bytes of any encoding, so nobody knows what they mean
            raise DatabaseRefused(
                f"the database {connection.info.dbname} has the encoding {encoding}, which cannot "
                f"represent every name. {_NEEDS_UTF8}"
            )
        # First: others may have written functions for public, whose arguments fit better.
        connection.execute("set search_path = pg_catalog, pg_temp")
        connection.execute(
            read_sql("set_session_options"),
            {"timeout": f"{TIMEOUT_SECONDS:.0f}s", "lock_timeout": _SHORT_LOCK_WAIT},
        )
        connection.commit()
        _refuse_newer_schema(connection)


def _refuse_newer_schema(connection: Connection) -> None:
    try:
        with connection.transaction():
            row = connection.execute(read_sql("select_revision")).fetchone()
    except (*_SCHEMA_ERRORS, psycopg.errors.InsufficientPrivilege):
        return  # whatever needs the schema will say so
    known = {path.name[:4] for path in _REVISIONS.glob("[0-9]*.py")}
    if row and row[0] not in known:
        raise DatabaseRefused(
            f"the schema features is at revision {row[0]}, but this version of the program only "
            f"supports revisions up to {max(known)}. A newer version of this program "
            "migrated it: use that one"
        )


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
    with database_errors(doing, connection=connection), connection.transaction():
        set_options(connection, name, timeout_seconds=timeout_seconds, wait_seconds=wait_seconds)
        take_load_lock(connection, doing, wait_seconds)
        yield


def set_options(
    connection: Connection, name: str, *, timeout_seconds: float, wait_seconds: float
) -> None:
    """Names the transaction for others, and limits how long it may take, or wait for a lock."""
    values = {
        "application_name": f"experiment_features {name}",
        "timeout": f"{max(1, int(timeout_seconds * 1000))}ms",
        "lock_timeout": f"{max(1, int(wait_seconds * 1000))}ms",
    }
    connection.execute(read_sql("set_load_options"), values)


def take_load_lock(
    connection: Connection, doing: str, wait_seconds: float, statement: str = "take_load_lock"
) -> None:
    """Waits until no other load or migration runs; the lock timeout is set.

    Raises:
        DatabaseUnavailable: the lock was not free in time; the message names who holds it.
    """
    try:
        with connection.transaction():  # a savepoint, so that the holder can still be queried
            connection.execute(read_sql(statement))
    except psycopg.errors.LockNotAvailable as error:
        holder = _select_holder(connection, is_load_lock=True)
        raise DatabaseUnavailable(
            f"cannot {doing}: after {wait_seconds:g} s, the load lock is still held by "
            f"{holder or 'a session that has just ended'}. {_END_HOLDER}"
        ) from error


def _find_holder(connection: Connection) -> str | None:
    """Who most likely holds the lock on a table for which a statement has waited too long."""
    try:
        if connection.info.transaction_status == TransactionStatus.INERROR:
            connection.rollback()
        holder = _select_holder(connection, is_load_lock=False)
        connection.rollback()
    except psycopg.Error:  # the connection has ended too
        return None
    return holder


def _select_holder(connection: Connection, *, is_load_lock: bool) -> str | None:
    values = {"is_load_lock": is_load_lock}
    row = connection.execute(read_sql("select_lock_holder"), values).fetchone()
    return row[0] if row else None


def columns_of(connection: Connection, relation: str) -> list[str]:
    """The columns of a table or view of the schema, in their order; none if it does not exist."""
    values = {"relation": f"features.{relation}"}
    return [name for (name,) in connection.execute(read_sql("select_columns"), values)]


def comma_separated(names: Iterable[str]) -> sql.Composed:
    """The names as identifiers, for a list of columns."""
    return sql.SQL(", ").join(map(sql.Identifier, names))


def read_sql(name: str, folder: Path = _SQL) -> sql.SQL:
    """The statement in ``<folder>/<name>.sql``; its values are named parameters."""
    return sql.SQL((folder / f"{name}.sql").read_text("utf-8"))


def check_written(table: str, statement: str, expected: int, written: int) -> None:
    """Checks that a statement wrote as many rows as it should: a trigger can silently discard some.

    Raises:
        DatabaseRefused: it did not; the caller's transaction is rolled back.
    """
    if written != expected:
        raise DatabaseRefused(
            f"{table}: {statement} should have written {expected} rows, but wrote {written}, so "
            f"everything was undone. {_find_cause(table)}"
        )


def check_unaltered(table: str, differing: int) -> None:
    """Checks that no row differs from what was written: a trigger can silently change some.

    Raises:
        DatabaseRefused: some do; the caller's transaction is rolled back.
    """
    if differing:
        raise DatabaseRefused(
            f"{table}: {differing} rows are not as they were written, so everything was undone. "
            f"{_find_cause(table)}"
        )


def _find_cause(table: str) -> str:
    return (
        "Find and remove whatever discards, adds or changes rows: a trigger, a rule or a policy of "
        f"the table (psql: \\d {table}), or another session that writes to it"
    )
