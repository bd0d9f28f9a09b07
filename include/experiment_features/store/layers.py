"""The rows that count: those in force, without those that a rule rejected.

In force are, of each id, all rows from the latest drop that has it, unless it was deleted since;
of rows without a readable id, those of the latest drop.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import narwhals as nw
import pyarrow.parquet as pq

from experiment_features.contract import ALL_TABLES, DELETIONS, TABLES, Table, position_of
from experiment_features.drop.files import Layer
from experiment_features.engines.engine import Engine, Frame
from experiment_features.store.parts import PartStore


class NumberedFile(NamedTuple):
    """A file of a table, by its number in the positions of the table's rows."""

    table: str
    number: int
    name: str
    run_id: str
    """The run whose drop it was in; empty for the run in progress."""


class Layers:
    """The layers of a run, with the files of this machine that have their parts."""

    def __init__(self, layers: Sequence[Layer], store: PartStore) -> None:
        """Finds the files.

        Args:
            layers: the snapshot first.
            store: has their parts.

        Raises:
            PartGone: a part has been removed.
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        self._layers = layers
        self._paths = {
            table.name: [store.paths(layer["parts"], table.name) for layer in layers]
            for table in ALL_TABLES
        }

    @property
    def are_many(self) -> bool:
        """Whether there are deltas, so that not all rows need be in force."""
        return len(self._layers) > 1

    @property
    def tables(self) -> list[Table]:
        """The tables that have files: of deletions, in the last drop."""
        return [
            table
            for table in ALL_TABLES
            if any(self._paths[table.name] if table in TABLES else self._paths[table.name][-1:])
        ]

    def paths(self, table: Table) -> list[Path]:
        """The parts of a table in all layers; their numbers begin with 1."""
        return [path for of_layer in self._paths[table.name] for path in of_layer]

    def files(self) -> Iterator[NumberedFile]:
        """Yields the files of the drops."""
        for table in self._paths:
            parts = (
                (layer["run_id"], part["name"])
                for layer in self._layers
                for part in layer["parts"]
                if part["table"] == table
            )
            for number, (run_id, name) in enumerate(parts, start=1):
                yield NumberedFile(table, number, name, run_id)

    def first_position(self, table: Table) -> int:
        """From which position on the rows of a table are of the last drop."""
        earlier = sum(map(len, self._paths[table.name][:-1]))
        return position_of(earlier + 1, 0)

    def rows(self, table: Table, engine: Engine) -> Frame:
        """The rows of a table that are in force, each with its position.

        Columns: those of a part, and position. Of a deletion, those of the last drop are in force.
        """
        end = len(self._layers)
        frames = [
            rows if layer == end - 1 else self._kept(rows, table, engine, layer, end)
            for layer, rows in self._read(table, engine)
            if layer == end - 1 or table in TABLES
        ]
        return engine.concat(frames)

    def below(self, table: Table, engine: Engine) -> Frame:
        """The rows of a table with a readable id that were in force before the last drop."""
        end = len(self._layers) - 1
        frames = [
            self._kept(rows, table, engine, layer, end)
            for layer, rows in self._read(table, engine)
            if layer < end
        ]
        return engine.concat(frames)

    def touched(self, table: Table, engine: Engine, layer: int = -1) -> Frame | None:
        """The readable ids in the files of a table in a drop; None if it has no such file.

        Columns: the key, and position.
        """
        of_layers = self._paths[table.name]
        if not of_layers[layer]:
            return None
        first = sum(map(len, of_layers[:layer])) + 1
        rows = engine.read_parts(of_layers[layer], first).filter(is_readable(table))
        return rows.select(table.key, "position")

    def _read(self, table: Table, engine: Engine) -> Iterator[tuple[int, Frame]]:
        """Yields the number of each layer that has files of a table, from 0, and their rows."""
        first = 1
        for layer, paths in enumerate(self._paths[table.name]):
            if paths:
                yield layer, engine.read_parts(paths, first)
            first += len(paths)

    def _kept(self, rows: Frame, table: Table, engine: Engine, layer: int, end: int) -> Frame:
        """The rows of a layer that none of those up to another one replaces or deletes."""
        kept = rows.filter(is_readable(table))
        for later in range(layer + 1, end):
            for of_table in (table, DELETIONS[table.name]):
                touched = self.touched(of_table, engine, later)
                if touched is not None:
                    kept = engine.without(kept, touched, table.key)
        return kept


def is_readable(table: Table) -> nw.Expr:
    """Whether the id of a row is readable: of one that could be split, a whole number above 0."""
    return nw.col("line").is_null() & (nw.col(table.key) > 0)


def valid_rows(rows: Frame, rejected: Path, engine: Engine) -> Frame:
    """The rows, by position, that are not in a file of rejected ones."""
    if not count_rows(rejected):
        return rows
    return engine.without(rows, engine.read(rejected), "position")


def count_rows(file: Path) -> int:
    """The rows of a Parquet file; none, if there was nothing to write into it."""
    return int(pq.read_metadata(file).num_rows) if file.exists() else 0
