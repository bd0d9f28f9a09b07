"""The page's connection to the features database."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk.exceptions import AirflowNotFoundException
from fastapi import Depends

from experiment_features.errors import ConfigurationError
from experiment_features.load.database import Connection, database_errors
from experiment_features.report.paging import reading

CONNECTION_ID = "features_db_reader"


@contextmanager
def open_reader() -> Iterator[Connection]:
    """A transaction that only reads, on Airflow's connection ``features_db_reader``.

    Raises:
        ConfigurationError: there is no such connection.
        DatabaseUnavailable, DatabaseRefused: it leads nowhere, or the database breaks off.
    """
    # libpq waits for minutes for a host that does not answer; the connection's own setting wins.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")
    try:
        with database_errors(f"connect to the database of {CONNECTION_ID}"):
            connection = PostgresHook(CONNECTION_ID).get_conn()
    except AirflowNotFoundException:
        raise ConfigurationError(f"the Airflow connection {CONNECTION_ID} is not defined") from None
    with closing(connection), reading(connection):
        yield connection


def _connect() -> Iterator[Connection]:
    with open_reader() as connection:
        yield connection


Reader = Annotated[Connection, Depends(_connect)]
"""A parameter of this type is an open connection; it is closed when the answer is made."""
