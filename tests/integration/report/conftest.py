"""A reader's connection, for tests of the page's queries."""

from collections.abc import Iterator

import pytest

from experiment_features.load.database import Connection, connect
from integration.servers import Database


@pytest.fixture
def reader(database: Database) -> Iterator[Connection]:
    """A connection as the reader role, like that of the page."""
    with connect(database.url("analyst")) as connection:
        yield connection
