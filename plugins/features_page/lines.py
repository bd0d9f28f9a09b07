"""The lines behind a user's number, read from the store of parts.

The server sees only the parts of the experiments, and writes nothing into the store.
"""

import logging
from pathlib import Path

from starlette.exceptions import HTTPException

from experiment_features.config import Settings
from experiment_features.drop.object_storage import StoredPath
from experiment_features.errors import ConfigurationError, StorageUnavailable
from experiment_features.load.database import Connection
from experiment_features.load.loads import Load
from experiment_features.load.part_store import find_database_id
from experiment_features.report.trace import Trace, trace_some
from experiment_features.store.parts import PartStore
from experiment_features.temporary_folder import temporary_folder
from features_airflow.object_storage import open_place

log = logging.getLogger(__name__)

MEMORY_LIMIT = "256MiB"
"""What DuckDB may use for a view: the server has other things to do."""


class LinesGone(HTTPException):
    """The parts of the load have been removed, or are damaged; answered with 410."""

    def __init__(self) -> None:
        super().__init__(410)


def find_lines(reader: Connection, load: Load, user_id: int, *, first: int, most: int) -> Trace:
    """Some of the rows of a user's experiments, and how many count.

    Raises:
        LinesGone: a part is no longer there as it was written.
        StorageUnavailable, WorkspaceUnavailable: the store or a temporary folder cannot be used.
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    place, database_id = _open_store(), find_database_id(reader)
    with temporary_folder() as folder:
        store = PartStore(place, database_id, folder)
        try:
            return trace_some(
                reader, store, load, user_id, first=first, most=most, memory_limit=MEMORY_LIMIT
            )
        except ConfigurationError as error:
            log.warning("%s", error)
            raise LinesGone from error


def _open_store() -> Path | StoredPath:
    try:
        return open_place(Settings.from_environment().store)
    except ConfigurationError as error:
        raise StorageUnavailable(f"the store of parts cannot be opened: {error}") from error
