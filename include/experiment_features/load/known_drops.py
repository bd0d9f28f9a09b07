"""What the ledger knows of drops, by which a run chooses its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from experiment_features.drop.base import find_layer
from experiment_features.drop.files import UNREADABLE, Layer, holds_files
from experiment_features.drop.object_storage import AnyPath, OpenSource
from experiment_features.errors import NothingToDo, TerminalError
from experiment_features.load import ledger
from experiment_features.load.database import Connect, Connection, database_errors
from experiment_features.run import Run


@dataclass(frozen=True)
class KnownDrops:
    """The drops that were loaded, or failed, before a run."""

    run: Run
    connect: Connect
    """Opens the features database."""
    open_source: OpenSource
    """Opens the folder of a drop that the ledger names."""

    def last_source(self) -> str | None:
        """The source of the last loaded drop; None before the first load.

        Raises:
            NothingToDo: the last load restored an earlier one, which its source must not undo.
        """
        last = self._find_last_load()
        if last and last.restored_run:
            raise NothingToDo(
                f"run {last.result.run_id} has restored what run {last.restored_run} had loaded, "
                "so there is nothing to do until a run names its source"
            )
        return last.result.source if last else None

    def loaded_source(self) -> str | None:
        """Where what is in the database came from, restored or not; None before the first load."""
        last = self._find_last_load()
        return last.result.source if last else None

    def _find_last_load(self) -> ledger.Entry | None:
        with self._ledger() as connection:
            return ledger.find_last_load(connection)

    def find_earlier_load(self, source: AnyPath) -> str | None:
        """The run that loaded this same drop before, if another drop has been loaded since.

        None also if the drop is refused: ``extract`` enters its source, and then says why.

        Raises:
            DropChanged, StorageUnavailable: it may be that drop.
        """
        with self._ledger() as connection:
            last = ledger.find_last_load(connection)
            earlier = ledger.find_load_of(connection, str(source))
        if last is None:
            return None
        is_last = last.result.source == str(source)
        with suppress(TerminalError):
            if layer := find_layer(source, last.parts[:-1] if is_last else last.parts):
                return None if ledger.is_attempt(layer["run_id"], self.run) else layer["run_id"]
            if earlier is None or is_last or ledger.is_attempt(earlier.result.run_id, self.run):
                return None
            if holds_files(source, earlier.source_files, earlier.result.mode or "snapshot"):
                return earlier.result.run_id
        return None

    def find_failed(self, sources: Sequence[str]) -> ledger.FailedDrop | None:
        """The first of some drops that deltas behind them wait for."""
        with self._ledger() as connection:
            last = ledger.find_last_load(connection)
            failed = ledger.find_failed(connection, sources)
        layers = last.parts if last else []
        return next((each for each in failed if not self._is_in_force(each.source, layers)), None)

    def find_snapshot(self) -> ledger.Snapshot | None:
        """The snapshot in force, below all deltas; None before the first load."""
        with self._ledger() as connection:
            return ledger.find_snapshot(connection)

    def _is_in_force(self, source: str, layers: Sequence[Layer]) -> bool:
        """Whether a drop is as one of these layers was read; not if it cannot be read."""
        if not any(layer["source"] == source for layer in layers):
            return False
        try:
            return find_layer(self.open_source(source), layers) is not None
        except UNREADABLE:
            return False

    @contextmanager
    def _ledger(self) -> Iterator[Connection]:
        """A connection for reading the run ledger."""
        with (
            self.connect() as connection,
            database_errors("read the run ledger", connection=connection),
        ):
            yield connection
            connection.rollback()
