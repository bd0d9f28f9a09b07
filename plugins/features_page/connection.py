"""The page's connections to the features database: few, and held only as long as needed."""

from asyncio import Semaphore, timeout
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from experiment_features.load.database import Connection
from experiment_features.report.paging import reading
from features_airflow.features_db import open_features_db
from features_page.access import is_steward

CONNECTION_ID = "features_db_reader"

STEWARD_CONNECTION_ID = "features_db_steward"
"""Of a user who may see raw rows; it need not be defined."""

VIEWS = 8
"""How many views may read at the same time, in each process of the API server."""

TURN_SECONDS = 10.0
"""How long a view waits for its turn."""


class Busy(HTTPException):
    """All connections are in use; answered with 503."""

    def __init__(self) -> None:
        super().__init__(503, headers={"Retry-After": "30"})


@contextmanager
def open_reader(connection_id: str = CONNECTION_ID) -> Iterator[Connection]:
    """Opens a read-only transaction on one of Airflow's connections.

    Raises:
        ConfigurationError, DatabaseUnavailable, DatabaseRefused: as open_features_db says.
    """
    with open_features_db(connection_id) as connection, reading(connection):
        yield connection


def sees_rows(may_see: Annotated[bool, Depends(is_steward)]) -> bool:
    """Whether the visitor may see raw rows, and the connection of stewards is defined."""
    if not may_see:
        return False
    try:
        BaseHook.get_connection(STEWARD_CONNECTION_ID)
    except AirflowNotFoundException:
        return False
    return True


async def _wait_for_turn(request: Request) -> AsyncIterator[None]:
    """Waits without a thread: Airflow's own API needs those."""
    turns: Semaphore = request.app.state.turns
    try:
        async with timeout(TURN_SECONDS):
            await turns.acquire()
    except TimeoutError:
        raise Busy from None
    try:
        yield
    finally:
        turns.release()


# By default, FastAPI would close the connection only after the client has taken the response.
Turn = Annotated[None, Depends(_wait_for_turn, scope="function")]


def _open_for_request(_: Turn) -> Iterator[Connection]:
    with open_reader() as connection:
        yield connection


Reader = Annotated[Connection, Depends(_open_for_request, scope="function")]
"""A parameter of this type is an open connection; it is closed before the response is sent."""
