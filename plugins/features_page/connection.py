"""The page's connection to the features database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends

from experiment_features.load.database import Connection
from experiment_features.report.paging import reading
from features_airflow.features_db import open_features_db

CONNECTION_ID = "features_db_reader"


@contextmanager
def open_reader() -> Iterator[Connection]:
    """Opens a read-only transaction on Airflow's connection ``features_db_reader``.

    Raises:
        ConfigurationError, DatabaseUnavailable, DatabaseRefused: as open_features_db says.
    """
    with open_features_db(CONNECTION_ID) as connection, reading(connection):
        yield connection


def _open_for_request() -> Iterator[Connection]:
    with open_reader() as connection:
        yield connection


Reader = Annotated[Connection, Depends(_open_for_request)]
"""A parameter of this type is an open connection; it is closed once the response is made."""
