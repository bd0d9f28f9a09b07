"""The lines behind a user's number, and the user's compounds, read from the store of parts.

The server sees only the parts of the experiments, and writes nothing into the store.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.exceptions import HTTPException

from experiment_features.config import Settings
from experiment_features.drop.files import Part
from experiment_features.drop.object_storage import StoredPath
from experiment_features.errors import ConfigurationError, PartGone, StorageUnavailable
from experiment_features.load.database import Connection
from experiment_features.load.loads import Load
from experiment_features.load.part_store import find_database_id
from experiment_features.report.trace import Trace, count_compounds, trace_some
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


class CheckedStore(PartStore):
    """The store as the page uses it: a local part is read whole only once to see if it is intact.

    A part of a hundred megabytes takes longer to check than to search.
    """

    def is_intact(self, part: Part) -> bool:
        """Whether the part is there, as it was written or as this process has already found it."""
        path = self._find(part)
        if path is None or isinstance(self.root, StoredPath):
            return super().is_intact(part)
        with self._errors():
            stat = path.stat()
        state = (path, stat.st_size, stat.st_mtime_ns)
        if state not in _intact and super().is_intact(part):
            _intact.add(state)
        return state in _intact


_intact: set[tuple[Path, int, int]] = set()
"""The files that were found intact, with their sizes and times: parts never change."""


def find_lines(
    reader: Connection,
    load: Load,
    user_id: int,
    *,
    compound_id: int | None,
    first: int,
    most: int,
) -> Trace:
    """Some of the rows of a user's experiments, and how many count: see trace_some.

    Raises:
        LinesGone: a part is no longer there as it was written.
        StorageUnavailable, WorkspaceUnavailable: the store or a temporary folder cannot be used.
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with _open_store(reader, load) as store:
        return trace_some(
            reader,
            store,
            load,
            user_id,
            compound_id=compound_id,
            first=first,
            most=most,
            memory_limit=MEMORY_LIMIT,
        )


def find_compounds(reader: Connection, load: Load, user_id: int) -> list[tuple[int, int]]:
    """The compounds of a user, and in how many experiments each is: see count_compounds.

    Raises:
        LinesGone, StorageUnavailable, WorkspaceUnavailable, DatabaseUnavailable, DatabaseRefused:
            as find_lines.
    """
    with _open_store(reader, load) as store:
        return count_compounds(reader, store, load, user_id, memory_limit=MEMORY_LIMIT)


@contextmanager
def _open_store(reader: Connection, load: Load) -> Iterator[CheckedStore]:
    with _store_errors(), temporary_folder() as folder:
        yield CheckedStore(_find_store(load), find_database_id(reader), folder)


def _find_store(load: Load) -> Path | StoredPath:
    place = open_place(Settings.from_environment().store)
    if load.parts and isinstance(place, Path) and not place.is_dir():
        raise ConfigurationError(
            f"{place} is not a folder: mount it, or set EXPERIMENT_FEATURES_STORE"
        )
    return place


@contextmanager
def _store_errors() -> Iterator[None]:
    """Tells parts that are gone from a store that cannot be used as it is set up."""
    try:
        yield
    except PartGone as error:
        log.warning("%s", error)
        raise LinesGone from error
    except ConfigurationError as error:
        raise StorageUnavailable(f"the store of parts cannot be used: {error}") from error
