"""What is in force: the last load, its layers, and what the store of parts holds."""

from dataclasses import dataclass

from experiment_features.drop.files import Layer, relied_parts
from experiment_features.load.database import Connection
from experiment_features.load.loads import find_load
from experiment_features.store.parts import PartStore, folder_of


@dataclass(frozen=True)
class State:
    """The last load, and the store."""

    run_id: str
    source: str
    finished_at: str
    """ISO 8601, UTC."""
    layers: list[Layer]
    """The drops in force: the snapshot, and the deltas on top of it."""
    store: str
    store_files: int
    store_bytes: int
    needed_bytes: int
    """Of the parts that the last load needs."""
    missing_files: int
    """How many of them the store lacks."""


def find_state(connection: Connection, store: PartStore) -> State:
    """Finds what is in force, and measures the store.

    Args:
        connection: of a user with the role features_reader or features_writer.
        store: has the parts of the database.

    Raises:
        ConfigurationError: nothing has been loaded yet.
        StorageUnavailable: the store cannot be read.
        DatabaseRefused, DatabaseUnavailable: see database_errors.
    """
    load = find_load(connection)
    parts = [*load.parts, *relied_parts(load.layers)]
    needed = {(folder_of(part["table"]), part["part"]) for part in parts}
    files = list(store.files())
    found = {(file.table, file.name): file.bytes for file in files}
    return State(
        run_id=load.run_id,
        source=load.source,
        finished_at=load.finished_at.isoformat(),
        layers=load.layers,
        store=str(store.root),
        store_files=len(files),
        store_bytes=sum(file.bytes for file in files),
        needed_bytes=sum(found.get(name, 0) for name in needed),
        missing_files=len(needed - found.keys()),
    )
