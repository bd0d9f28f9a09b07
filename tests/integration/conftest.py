"""Real PostgreSQL: one server per session and version, one database per test."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from integration.servers import PROGRAMS, Database, Server


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """Gives the server of a version, started on first use."""
    servers: dict[str, Server] = {}

    def find(version: str) -> Server:
        if not PROGRAMS[version].exists():
            pytest.skip(f"PostgreSQL {version} is not installed in {PROGRAMS[version]}")
        if version not in servers:
            servers[version] = Server(version)
        return servers[version]

    yield find
    for server in servers.values():
        server.close()


@pytest.fixture
def server(request: pytest.FixtureRequest, server_of: Callable[[str], Server]) -> Server:
    """A server of the version that the test requests, or else the newest."""
    return server_of(getattr(request, "param", "18"))


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A migrated, empty database."""
    with server.database(f"features_{next(_numbers)}") as database:
        yield database


@pytest.fixture(scope="session")
def empty_database(server_of: Callable[[str], Server]) -> Iterator[Database]:
    """A migrated, empty database that tests share; none of them changes anything in it."""
    with server_of("18").database("features_empty") as database:
        yield database


_numbers = itertools.count(1)
