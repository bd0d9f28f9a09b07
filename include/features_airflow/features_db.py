"""The features database, opened through one of Airflow's connections."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk.exceptions import AirflowNotFoundException
from psycopg.rows import tuple_row

from experiment_features.errors import ConfigurationError
from experiment_features.load.database import Connection, database_errors, start_session

CONNECTION_ID = "features_db"
"""The connection of the tasks, which may write."""


@contextmanager
def open_features_db(connection_id: str = CONNECTION_ID) -> Iterator[Connection]:
    """Opens an Airflow connection, and closes it at the end.

    Raises:
        ConfigurationError: Airflow has no such connection, or one that cannot be used.
        DatabaseUnavailable: the server cannot be reached.
        DatabaseRefused: the server does not let this user connect; or see start_session.
    """
    # libpq waits for minutes for a host that does not answer; the connection's own setting wins.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    with ExitStack() as stack:
        try:
            with database_errors(f"connect to the database of {connection_id}"):
                connection = stack.enter_context(closing(PostgresHook(connection_id).get_conn()))
            connection.row_factory = tuple_row  # the extra `cursor` suits queries of other DAGs
            start_session(connection)
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"the Airflow connection {connection_id} is not defined, or cannot be read: add it "
                f"under Admin, Connections, or set AIRFLOW_CONN_{connection_id.upper()}"
            ) from None
        except (ValueError, TypeError, AttributeError) as error:  # from the hook, or from psycopg
            raise ConfigurationError(
                f"the Airflow connection {connection_id} cannot be used ({error}): check its host "
                "and its extra, a JSON object of libpq's parameters"
            ) from error
        yield connection
