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
from experiment_features.drop.files import Layer, compacted_parts, count_compacted, parts_of
from experiment_features.engines.arrow import files_of
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
        self._compacted = {
            table.name: path
            for table in TABLES
            for path in store.paths(compacted_parts(layers), table.name)
        }
        self._paths = {
            table.name: [store.paths(layer["parts"], table.name) for layer in layers[self._end :]]
            for table in ALL_TABLES
        }
        """Of the layers that are not compacted."""
        self._found: dict[tuple[str, int], Frame] = {}

    @property
    def _last(self) -> range:
        return range(len(self._layers) - 1, len(self._layers))

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

    def own_paths(self, table: Table) -> list[Path]:
        """The files with the rows of the drop itself."""
        return self._paths[table.name][-1]

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
        return self._read(table, engine, self._last)

    def brings(self, table: Table) -> bool:
        """Whether the last drop has rows of a table, all of which are in force."""
        return any(map(count_rows, self.own_paths(table)))

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
        touched = self._touches(table, engine, self._last)
        return None if touched is None else touched.select(table.key, "position")

    def touched_ids(self, table: Table) -> list[int]:
        """The readable ids in the files of a table, or of its deletions, in the last drop."""
        paths = [
            path for of_table in (table, DELETIONS[table.name]) for path in self.own_paths(of_table)
        ]
        ids = (pq.read_table(path, columns=[table.key])[table.key] for path in paths)
        return [key for column in ids for key in column.to_pylist() if key and key > 0]

    def _in_force(self, table: Table, engine: Engine, end: int) -> Frame:
        """The rows with a readable id of earlier drops, after as many layers as ``end`` says."""
        if (table.name, end) not in self._found:
            self._found[table.name, end] = self._find(table, engine, end)
        return self._found[table.name, end]

    def _find(self, table: Table, engine: Engine, end: int) -> Frame:
        """Finds them in what is compacted, or the snapshot, and in the deltas above it.

        All deltas are looked through at once: a query over each of them would grow too deep.
        """
        deltas = range(max(self._end, 1), len(self._layers) - 1)
        if self._end:
            rows = engine.read_parts([self._compacted[table.name]], 0)
        else:
            rows = engine.read_parts(self._paths[table.name][0]).filter(is_readable(table))
        found = (
            self._touches(of_table, engine, range(deltas.start, end))
            for of_table in (table, DELETIONS[table.name])
        )
        touches = [touched for touched in found if touched is not None]
        if not touches:
            return rows
        last = nw.concat(touches).group_by(table.key).agg(last=nw.col("layer").max())
        frames = [engine.without(rows, last, table.key)]
        brought, ids = self._read(table, engine, deltas), self._touches(table, engine, deltas)
        if brought is not None and ids is not None:
            kept = ids.join(last, on=table.key).filter(nw.col("layer") == nw.col("last"))
            frames.append(engine.among(brought, kept, "position"))
        return engine.concat(frames)

    def _touches(self, table: Table, engine: Engine, layers: range) -> Frame | None:
        """The readable ids in the files of a table in some layers; None if there is no such file.

        Columns: the key, position, and layer: how many of the layers come before.
        """
        rows = self._read(table, engine, layers)
        if rows is None:
            return None
        begins = [nw.col("position") >= position_of(self._number(table, n), 0) for n in layers]
        layer = _sum([is_at_or_behind.cast(nw.Int64) for is_at_or_behind in begins])
        return rows.filter(is_readable(table)).select(table.key, "position", layer=layer)

    def _read(self, table: Table, engine: Engine, layers: range) -> Frame | None:
        """The rows of a table in layers that are not compacted; None if there is no such file."""
        of_layers = self._paths[table.name][layers.start - self._end : layers.stop - self._end]
        paths = [path for paths in of_layers for path in paths]
        return engine.read_parts(paths, self._number(table, layers.start)) if paths else None

    def _number(self, table: Table, layer: int) -> int:
        """The number of the first file of a table in a layer."""
        below = parts_of(self._layers[:layer])
        return sum(part["table"] == table.name for part in below) + 1


def _sum(terms: Sequence[nw.Expr]) -> nw.Expr:
    """The sum of some terms, nested no deeper than needed."""
    half = len(terms) // 2
    return _sum(terms[:half]) + _sum(terms[half:]) if half else terms[0]


def is_readable(table: Table) -> nw.Expr:
    """Whether the id of a row is readable: of one that could be split, a whole number above 0."""
    return nw.col("line").is_null() & (nw.col(table.key) > 0)


def valid_rows(rows: Frame, rejected: Path, engine: Engine) -> Frame:
    """The rows, by position, that are not in a file of rejected ones."""
    if not count_rows(rejected):
        return rows
    return engine.without(rows, engine.read(rejected), "position")


def count_rows(file: Path) -> int:
    """The rows of a relation; none, if there was nothing to write."""
    return sum(int(pq.read_metadata(each).num_rows) for each in files_of(file))
