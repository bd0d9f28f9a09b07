"""The parts that the ledger names, and the removal of those that nothing needs.

The ledger is the only truth about the store. A run enters the parts that it needs before it relies
on them, and under the lock that a removal takes, so that they stay.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NoReturn

from psycopg.types.json import Jsonb

from experiment_features.drop.files import Layer, Part
from experiment_features.errors import ConfigurationError, DatabaseRefused
from experiment_features.load.database import (
    Connection,
    check_written,
    database_errors,
    read_sql,
)
from experiment_features.load.ledger import entry_id
from experiment_features.run import Extracted, Run
from experiment_features.store.parts import READER_VERSION, PartStore, folder_of

_DAY_SECONDS = 24 * 60 * 60

_DOING = "read which parts the ledger names"


def register_store(connection: Connection, location: str) -> str:
    """Enters that this database has its parts at this location; returns its name there.

    Raises:
        ConfigurationError: the database is a copy of one that uses the same store.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    with _locked_store(connection, _DOING):  # two runs would each name a copy
        ((database_id, known_location, is_here),) = _read_store(connection)
        if not is_here and known_location == location:
            _refuse_copy(location)
        if not is_here or known_location != location:
            values = {"location": location, "is_renamed": not is_here}
            written = connection.execute(read_sql("set_part_store"), values).fetchall()
            check_written("features.part_store", "update", 1, len(written))
            ((database_id,),) = written
        return str(database_id)


def find_store(connection: Connection, location: str) -> str:
    """The name of this database in the store, if its parts are at this location; enters nothing.

    Raises:
        ConfigurationError: they are elsewhere, or the database is a copy of another one.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    with database_errors(_DOING, connection=connection), connection.transaction():
        ((database_id, known_location, is_here),) = _read_store(connection)
    if not is_here:
        _refuse_copy(known_location or location)
    if known_location not in (None, location):
        raise ConfigurationError(
            f"the parts of this database are in the store {known_location}, not in {location}: "
            "set EXPERIMENT_FEATURES_STORE accordingly"
        )
    return str(database_id)


def _refuse_copy(location: str) -> NoReturn:
    raise ConfigurationError(
        f"this database is a copy of another one, which has its parts in the store {location}. If "
        "that database is gone, take over its parts: `migrate --adopt-store`. Otherwise give this "
        "one a store of its own (EXPERIMENT_FEATURES_STORE), and load a drop"
    )


def find_database_id(connection: Connection) -> str:
    """The name of this database in the store of parts, wherever that is; enters nothing.

    Raises:
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    with database_errors(_DOING, connection=connection), connection.transaction():
        ((database_id, _location, _is_here),) = _read_store(connection)
        return str(database_id)


def _read_store(connection: Connection) -> list[tuple[str, str | None, bool]]:
    found = connection.execute(read_sql("select_part_store")).fetchall()
    if not found:
        raise DatabaseRefused(
            f"cannot {_DOING}: features.part_store is empty. Run `migrate`, which names the "
            "database anew"
        )
    return found


@dataclass(frozen=True)
class LedgerParts:
    """The parts that the ledger names, for a run that adds its own."""

    connect: Callable[[], AbstractContextManager[Connection]]
    run: Run

    def find(self, sizes: Sequence[int]) -> list[Part]:
        """The parts of files with one of these sizes, in bytes; the latest come last."""
        values = {"sizes": list(sizes), "reader": f".v{READER_VERSION}."}
        with (
            self.connect() as connection,
            database_errors(_DOING, connection=connection),
            connection.transaction(),
        ):
            rows = connection.execute(read_sql("select_named_parts"), values)
            return [part for (part,) in rows][::-1]

    def name(self, layers: Sequence[Layer]) -> None:
        """Enters that the run needs the parts of these layers, so that they stay.

        Raises:
            DatabaseRefused: the ledger has no entry for the run, or see database_errors.
            DatabaseUnavailable: see database_errors.
        """
        doing = f"enter the parts of run {self.run.run_id}"
        with self.connect() as connection, _locked_store(connection, doing):
            run_id = entry_id(connection, self.run)
            values = {"run_id": run_id, "parts": Jsonb(entered(layers, run_id))}
            written = connection.execute(read_sql("name_parts"), values).rowcount
            check_written("features.pipeline_runs", "update", 1, written)


def entered(layers: Sequence[Layer], run_id: str) -> list[Layer]:
    """The layers as the ledger has them: that of the run's own drop with its id."""
    return [Layer(**{**layer, "run_id": layer["run_id"] or run_id}) for layer in layers]


@contextmanager
def _locked_store(connection: Connection, doing: str) -> Iterator[None]:
    """A transaction during which nobody else names or removes parts."""
    with database_errors(doing, connection=connection), connection.transaction():
        connection.execute(read_sql("take_store_lock"))
        yield


def check_parts(connection: Connection, store: PartStore, extracted: Extracted) -> None:
    """Makes sure that the parts which the load is about to name are there, and will stay.

    Args:
        connection: in the load's transaction, which keeps the lock until it has named them.
        store: where they should be.
        extracted: names them.

    Raises:
        PartGone: a part has been removed.
    """
    connection.execute(read_sql("take_store_lock"))
    store.refuse_missing(extracted.parts)


def find_dependent_loads(connection: Connection, store: PartStore) -> list[str]:
    """The runs whose loads could no longer be traced without the parts that only they need.

    Raises:
        StorageUnavailable: the store cannot be read.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    with database_errors(_DOING, connection=connection), connection.transaction():
        needed = _needed_parts(connection, 0)
        loads = _parts_of_loads(connection)
    spare = {(file.table, file.name) for file in store.files()} - needed
    return list(dict.fromkeys(run_id for run_id, place in loads if place in spare))


def _needed_parts(connection: Connection, keep_days: float) -> set[tuple[str, str]]:
    """The parts that must stay: folder and name of each."""
    parts = connection.execute(read_sql("select_needed_parts"), {"keep_days": keep_days})
    return {(folder_of(table), part) for table, part in parts}


def _parts_of_loads(connection: Connection) -> list[tuple[str, tuple[str, str]]]:
    """The parts of every load: its run, and folder and name of the part."""
    parts = connection.execute(read_sql("select_parts_of_loads"))
    return [(run_id, (folder_of(table), part)) for run_id, table, part in parts]


def remove_old_parts(
    connection: Connection,
    store: PartStore,
    keep_days: float,
    *,
    lost_loads: Collection[str] | None = None,
) -> int:
    """Removes parts that neither the last load nor runs of so many days need; returns how many.

    Args:
        connection: of a user with the role features_writer.
        store: has the parts of the database.
        keep_days: how long the parts of a run are kept.
        lost_loads: the runs that may be left without parts, as find_dependent_loads returned them;
            the parts of any other load stay. None for all runs: then what was written within a
            day stays, because a run may be about to name it. Otherwise, only drafts do.

    Raises:
        StorageUnavailable, DatabaseUnavailable, DatabaseRefused
    """
    removed = 0
    with _locked_store(connection, "remove old parts"):
        needed = _needed_parts(connection, keep_days)
        if lost_loads is not None:
            loads = _parts_of_loads(connection)
            needed |= {place for run_id, place in loads if run_id not in lost_loads}
        oldest = time.time() - _DAY_SECONDS
        for file in store.files():
            is_young = file.written_at > oldest and (lost_loads is None or file.is_draft)
            if (file.table, file.name) not in needed and not is_young:
                store.remove(file)
                removed += 1
    return removed
