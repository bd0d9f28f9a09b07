"""One file of a drop becomes typed Parquet.

    file -> file_reader.py -> plain lines -> digit_arrays.py -> 0001_plain.parquet
                        |            '-> the others -.
                        '-> parsed rows -------------'-> type_cells.py -> 0001.parquet

Both Parquet files are read as one; a column that ``0001_plain.parquet`` lacks is NULL there.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from experiment_features.contract import Table
from experiment_features.drop.files import DropFile, opened
from experiment_features.drop.object_storage import AnyPath
from experiment_features.engines import arrow
from experiment_features.reading.decimal_marks import void_ambiguous_numbers
from experiment_features.reading.digit_arrays import TYPED_HERE, TypedLines, type_lines
from experiment_features.reading.file_reader import Block, FileReader, PlainLines
from experiment_features.reading.rising_ids import Span, join_spans, span_of
from experiment_features.reading.threads import BackgroundWriter, run_ahead
from experiment_features.reading.type_cells import Rows, type_cells
from experiment_features.visible_text import shown

log = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
"""Told the name of the file being read and how many more of its rows were read."""

_COLUMNS_TOLD = 20
"""The most extra columns that the log names: a header may have thousands."""

_SQL_BYTES = 4 * 2**20
"""Of rows that SQL must type, so many are kept until they are: few at a time take longer."""


class TypedFile(NamedTuple):
    """What is known of a file that was typed."""

    file: DropFile
    ids: Span | None
    """Its ids, if they rise from each row to the next."""
    content: str
    """The sha256 of what is in it, decompressed."""
    text_bytes: int
    """How much text it holds, decompressed."""


class SplitBlock(NamedTuple):
    """The rows of a block, by what types them."""

    typed: pa.RecordBatch | None
    """Those that digit_arrays.py has typed: position, and columns of the contract."""
    others: pa.RecordBatch
    """Those that SQL must type (file_reader.ROWS)."""
    ids: Span | None
    """The ids of both, if they can be known now, and rise."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return int((self.typed.num_rows if self.typed else 0) + self.others.num_rows)


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
    plain = target.with_stem(f"{number:04}_plain")
    writer = BackgroundWriter(plain)
    spans: list[Span | None] = []
    count = 0

    def noted(blocks: Iterable[SplitBlock]) -> Iterator[SplitBlock]:
        nonlocal count
        for block in blocks:
            count += block.rows
            spans.append(block.ids)
            progress(path.name, block.rows)
            yield block

    with opened(path) as stream, writer as plain_rows:
        reader = FileReader(stream, path.name, number, table)
        if reader.ignored:
            log.warning("%s: ignored %s", shown(path.name), _extra_columns(reader.ignored))
        blocks = noted(run_ahead(_block_splitter(reader, table), reader.blocks()))
        others = _write_typed(blocks, plain_rows)
        type_cells(database, table, reader.columns, reader.delimiter, others, target)
    void_ambiguous_numbers(database, table, target, plain)
    stored = reader.text.stored
    file = DropFile(
        table=table.name,
        name=path.name,
        bytes=stored.size,
        sha256=stored.sha256.hexdigest(),
        rows=count,
    )
    return TypedFile(file, join_spans(spans), reader.text.content_sha256, reader.text.consumed)


def _extra_columns(names: Sequence[str]) -> str:
    """Describes extra columns: the names of those that have one, and the number of the others."""
    named = [shown(name) for name in names if name]
    told = named[:_COLUMNS_TOLD]
    rest = []
    if more := len(named) - len(told):
        rest.append(f"{more} more")
    if unnamed := len(names) - len(named):
        rest.append(f"{unnamed} without a name")
    return f"the extra columns: {' and '.join([', '.join(told), *rest] if told else rest)}"


def _write_typed(blocks: Iterable[SplitBlock], plain_rows: BackgroundWriter) -> Rows:
    """Writes the rows that are typed, and yields the others."""
    kept: list[pa.RecordBatch] = []
    for block in blocks:
        if block.typed:
            plain_rows.write(block.typed)
        if block.others.num_rows:
            kept.append(block.others)
        if sum(batch.nbytes for batch in kept) >= _SQL_BYTES:
            yield pa.concat_batches(kept)
            kept = []
    if kept:
        yield pa.concat_batches(kept)


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
    span = None if ids is None else span_of(ids)
    return SplitBlock(typed, block.rows(~is_typed), span)
