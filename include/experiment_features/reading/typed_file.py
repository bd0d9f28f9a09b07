"""One file of a drop becomes typed Parquet.

    file -> file_reader.py -> plain lines -> digit_arrays.py -> 0001_plain.parquet
                        |            '-> the others -.
                        '-> parsed rows -------------'-> type_cells.py -> 0001.parquet

Both Parquet files are read as one; a column that ``0001_plain.parquet`` lacks is NULL there.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy.typing as npt
import pyarrow as pa

from experiment_features.contract import Table
from experiment_features.drop.files import DropFile, opened
from experiment_features.drop.object_storage import AnyPath
from experiment_features.engines import arrow
from experiment_features.reading.background_writer import BackgroundWriter
from experiment_features.reading.digit_arrays import TYPED_HERE, TypedLines, type_lines
from experiment_features.reading.file_reader import FileReader
from experiment_features.reading.rising_ids import RisingIds, Span
from experiment_features.reading.rows import Block, PlainLines
from experiment_features.reading.run_ahead import run_ahead
from experiment_features.reading.type_cells import Rows, type_cells

log = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
"""Told the name of the file being read and how many more of its rows were read."""

_SQL_BYTES = 4 * 2**20
"""Of rows that SQL must type, so many are kept until they are: few at a time take longer."""


class TypedFile(NamedTuple):
    """What is known of a file that was typed."""

    file: DropFile
    ids: Span | None
    """Its ids, if they rise from each row to the next."""


class SplitBlock(NamedTuple):
    """The rows of a block, by who types them."""

    typed: pa.RecordBatch | None
    """Those that digit_arrays.py has typed: position, and columns of the contract."""
    others: pa.RecordBatch
    """Those that SQL must type (rows.ROWS)."""
    ids: npt.NDArray[Any] | None
    """The ids of both, in order, if they can be known now."""


def type_file(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    path: AnyPath,
    number: int,
    folder: Path,
    progress: Progress,
) -> TypedFile:
    """Types one file.

    Args:
        database: of open_typing_database.
        table: whose file it is.
        path: the file.
        number: which file of its table it is, from 1.
        folder: gets the typed rows, in no order: see type_cells.type_cells.
        progress: told of the rows as they are read.

    Raises:
        DropRefused: the file cannot be read as the contract asks.
        WorkspaceUnavailable, duckdb.IOException: the folder cannot be written.
    """
    target = folder / f"{number:04}.parquet"
    writer = BackgroundWriter(target.with_stem(f"{number:04}_plain"))
    with opened(path) as stream, writer as plain_rows:
        reader = FileReader(stream, path.name, number, table)
        ignored = [name for name in reader.columns if name not in table.column_names]
        if ignored:
            log.warning("%s: ignored the extra columns %s", path.name, ", ".join(ignored))
        split = _SplitFile(reader, table, plain_rows, progress)
        type_cells(database, table, reader.columns, reader.delimiter, split.others(), target)
    text = reader.text
    file = DropFile(table.name, path.name, text.size, text.sha256, split.count)
    return TypedFile(file, split.ids.span)


class _SplitFile:
    """The rows of a file, split into those that are typed and written here, and the others."""

    def __init__(
        self, reader: FileReader, table: Table, plain_rows: BackgroundWriter, progress: Progress
    ) -> None:
        self.count = 0
        self.ids = RisingIds()
        self._reader = reader
        self._table = table
        self._plain_rows = plain_rows
        self._progress = progress

    def others(self) -> Rows:
        """Yields the rows that SQL must type, and writes the typed ones on the way."""
        kept: list[pa.RecordBatch] = []
        kept_bytes = 0
        for block in run_ahead(_block_splitter(self._reader, self._table), self._reader.blocks()):
            self._note(block)
            if block.typed:
                self._plain_rows.write(block.typed)
            if block.others.num_rows:
                kept.append(block.others)
                kept_bytes += block.others.nbytes
            if kept_bytes >= _SQL_BYTES:
                yield pa.concat_batches(kept)
                kept, kept_bytes = [], 0
        if kept:
            yield pa.concat_batches(kept)

    def _note(self, block: SplitBlock) -> None:
        rows = (block.typed.num_rows if block.typed else 0) + block.others.num_rows
        self.count += rows
        self.ids.note(block.ids)
        self._progress(self._reader.text.name, rows)


def _block_splitter(reader: FileReader, table: Table) -> Callable[[Block], SplitBlock]:
    """What splits the blocks of a file."""
    kinds = {column.name: column.kind for column in table.columns}
    names = [name for name in reader.columns if name in kinds]
    type_here: Callable[[bytes], TypedLines] | None = None
    if TYPED_HERE.issuperset(kinds[name] for name in names):
        type_here = partial(
            type_lines,
            delimiter=reader.delimiter,
            kinds=[kinds.get(name) for name in reader.columns],
            key=reader.columns.index(table.key),
        )
    return partial(_split, type_here=type_here, names=["position", *names])


def _split(
    block: Block, type_here: Callable[[bytes], TypedLines] | None, names: list[str]
) -> SplitBlock:
    if not isinstance(block, PlainLines):
        return SplitBlock(None, block, None)
    if type_here is None:
        return SplitBlock(None, block.rows(), None)
    is_typed, values, ids = type_here(block.text)
    typed = pa.record_batch([arrow.array(block.positions[is_typed]), *values], names)
    return SplitBlock(typed, block.rows(~is_typed), ids)
