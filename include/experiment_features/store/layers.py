"""The rows that count: those in force, without those that a rule rejected.

In force are, of each id, all rows from the latest drop that has it, unless it was deleted since;
of rows without a readable id, those of the latest drop.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import narwhals as nw
import pyarrow.parquet as pq

from experiment_features.contract import ALL_TABLES, DELETIONS, TABLES, Table, position_of
from experiment_features.drop.files import Layer, count_compacted, parts_of
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
    """The layers of a run, with the files of this machine that have their parts.

    Rows are asked for with one engine, and not looked for twice.
    """

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
        self._end = count_compacted(layers)
        compacted = layers[self._end - 1]["compacted"] if self._end else []
        self._compacted = {
            table.name: path for table in TABLES for path in store.paths(compacted, table.name)
        }
        self._paths = {
            table.name: [store.paths(layer["parts"], table.name) for layer in layers[self._end :]]
            for table in ALL_TABLES
        }
        """Of the layers that are not compacted."""
        self._found: dict[tuple[str, int], Frame] = {}

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
            if table.name in self._compacted
            or any(self._paths[table.name] if table in TABLES else self._paths[table.name][-1:])
        ]

    def paths(self, table: Table) -> list[Path]:
        """The parts of a table from which rows are read, but for what is compacted."""
        return [path for of_layer in self._paths[table.name] for path in of_layer]

    def find(self, table: Table, number: int) -> tuple[Path, int]:
        """The part with the rows of a file, by its number, and the number to read it with."""
        index = number - self._number(table, self._end)
        return (self._compacted[table.name], 0) if index < 0 else (self.paths(table)[index], number)

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
        return position_of(self._number(table, len(self._layers) - 1), 0)

    def rows(self, table: Table, engine: Engine) -> Frame:
        """The rows of a table that are in force, each with its position.

        Columns: those of a part, and position. Of a deletion, those of the last drop are in force.
        """
        found = [self.kept(table, engine), self.own(table, engine)]
        return engine.concat([rows for rows in found if rows is not None])

    def own(self, table: Table, engine: Engine) -> Frame | None:
        """The rows of a table in the last drop; None if it has no such file."""
        return self._read(table, engine, len(self._layers) - 1)

    def kept(self, table: Table, engine: Engine) -> Frame | None:
        """The rows of a table from earlier drops that are in force; None without earlier drops."""
        is_kept = self.are_many and table in TABLES
        return self._in_force(table, engine, len(self._layers)) if is_kept else None

    def below(self, table: Table, engine: Engine) -> Frame:
        """The rows of a table that a delta, the last drop, found in force."""
        return self._in_force(table, engine, len(self._layers) - 1)

    def touched(self, table: Table, engine: Engine) -> Frame | None:
        """The readable ids in the files of a table in the last drop; None if it has no such file.

        Columns: the key, and position.
        """
        return self._touched(table, engine, len(self._layers) - 1)

    def touched_ids(self, table: Table) -> list[int]:
        """The readable ids in the files of a table, or of its deletions, in the last drop."""
        paths = [
            path
            for of_table in (table, DELETIONS[table.name])
            for path in self._paths[of_table.name][-1]
        ]
        ids = (pq.read_table(path, columns=[table.key])[table.key] for path in paths)
        return [key for column in ids for key in column.to_pylist() if key and key > 0]

    def _in_force(self, table: Table, engine: Engine, end: int) -> Frame:
        """The rows with a readable id of earlier drops, after as many layers as ``end`` says."""
        if (table.name, end) not in self._found:
            self._found[table.name, end] = self._find(table, engine, end)
        return self._found[table.name, end]

    def _find(self, table: Table, engine: Engine, end: int) -> Frame:
        """The first layer is a snapshot, which has files of every table."""
        frames = []
        if self._end:
            compacted = engine.read_parts([self._compacted[table.name]], 0)
            frames.append(self._without_touched(compacted, table, engine, range(self._end, end)))
        for layer in range(self._end, len(self._layers) - 1):
            rows = self._read(table, engine, layer)
            if rows is not None:
                rows = rows.filter(is_readable(table))
                frames.append(self._without_touched(rows, table, engine, range(layer + 1, end)))
        return engine.concat(frames)

    def _without_touched(
        self, rows: Frame, table: Table, engine: Engine, layers: Iterable[int]
    ) -> Frame:
        """The rows that none of some layers replaces or deletes."""
        found = (
            self._touched(of_table, engine, layer)
            for layer in layers
            for of_table in (table, DELETIONS[table.name])
        )
        touched = [ids.select(table.key) for ids in found if ids is not None]
        return engine.without(rows, nw.concat(touched), table.key) if touched else rows

    def _touched(self, table: Table, engine: Engine, layer: int) -> Frame | None:
        rows = self._read(table, engine, layer)
        if rows is None:
            return None
        return rows.filter(is_readable(table)).select(table.key, "position")

    def _read(self, table: Table, engine: Engine, layer: int) -> Frame | None:
        """The rows of a table in a layer that is not compacted; None if it has no such file."""
        paths = self._paths[table.name][layer - self._end]
        return engine.read_parts(paths, self._number(table, layer)) if paths else None

    def _number(self, table: Table, layer: int) -> int:
        """The number of the first file of a table in a layer."""
        below = parts_of(self._layers[:layer])
        return sum(part["table"] == table.name for part in below) + 1


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
