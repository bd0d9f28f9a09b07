"""Real PostgreSQL: a server a session and version, a database a test."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from integration.servers import PROGRAMS, Database, Server


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """The server of a version, started when first asked for."""
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
    """The server of the version that the test asks for, or of the newest."""
    return server_of(getattr(request, "param", "18"))


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A migrated, empty database."""
    with server.database(f"features_{next(_numbers)}") as database:
        yield database


_numbers = itertools.count(1)
