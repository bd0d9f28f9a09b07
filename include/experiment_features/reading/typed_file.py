"""One file of a drop becomes a part: typed rows in one Parquet file.

    file -> file_reader.py -> plain lines -> digit_arrays.py ------------------> part
                        |            '-> the others -.                           |
                        '-> parsed rows -------------'-> type_cells.py -> others '

The rows are in no order; each has the number of the line on which it starts.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from experiment_features.contract import Column, Kind, Table
from experiment_features.drop.files import DropFile
from experiment_features.drop.object_storage import AnyPath
from experiment_features.drop.open_file import opened
from experiment_features.engines import arrow
from experiment_features.reading.decimal_marks import find_ambiguous_columns, void_ambiguous_numbers
from experiment_features.reading.digit_arrays import TYPED_HERE, TypedLines, type_lines
from experiment_features.reading.file_reader import Block, FileReader, PlainLines
from experiment_features.reading.rising_ids import Span, join_spans, span_of
from experiment_features.reading.second_header import refuse_other_order
from experiment_features.reading.threads import BackgroundWriter, run_ahead, writing
from experiment_features.reading.type_cells import Rows, type_cells
from experiment_features.visible_text import shown

log = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
"""Told the name of the file being read and how many more of its rows were read."""

_COLUMNS_TOLD = 20
"""The most extra columns that the log names: a header may have thousands."""

_TYPES = {
    Kind.INTEGER: pa.int64(),
    Kind.INTEGERS: pa.list_(pa.int64()),
    Kind.NUMBER: pa.float64(),
    Kind.DATE: pa.date32(),
    Kind.TEXT: pa.string(),
}

_SQL_BYTES = 4 * 2**20
"""Of rows that SQL must type, so many are kept until they are: few at a time take longer."""


class TypedFile(NamedTuple):
    """What is known of a file that was typed."""

    file: DropFile
    ids: Span | None
    """Its ids, if they rise from each row to the next."""
    content_sha256: str
    """The sha256 of what is in it, decompressed."""
    text_bytes: int
    """How much text it holds, decompressed."""


class SplitBlock(NamedTuple):
    """The rows of a block, by what types them."""

    typed: pa.RecordBatch | None
    """Those that digit_arrays.py has typed, with the columns of a part."""
    others: pa.RecordBatch
    """Those that SQL must type (file_reader.ROWS)."""
    ids: Span | None
    """The ids of both, if they can be known now, and rise."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return int((self.typed.num_rows if self.typed else 0) + self.others.num_rows)


def part_schema(table: Table) -> pa.Schema:
    """The columns of a part, in their order.

    line_number: where the row starts, from 1; fault, line: why a row could not be split, and its
    text; has_nul; and of each column of the contract its value, and the text that the value alone
    does not give back (sql/kinds.sql). Plain rows have NULL for all but line_number and the values.
    """
    fields = [("line_number", pa.int64()), ("fault", pa.string()), ("line", pa.string())]
    fields.append(("has_nul", pa.bool_()))
    for column in table.columns:
        fields.append((column.name, _TYPES[column.kind]))
        if column.text_name != column.name:
            fields.append((column.text_name, pa.string()))
    return pa.schema(fields)


def type_file(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    path: AnyPath,
    target: Path,
    progress: Progress,
) -> TypedFile:
    """Types one file.

    Args:
        database: of open_typing_database.
        table: whose file it is.
        path: the file.
        target: gets the typed rows, in no order: see part_schema.
        progress: told of the rows as they are read.

    Raises:
        DropRefused: the file cannot be read as the contract asks.
        StorageUnavailable: the target cannot be written.
    """
    others = target.with_suffix(".others")
    schema = part_schema(table)
    spans: list[Span | None] = []
    count = 0

    def noted(blocks: Iterable[SplitBlock]) -> Iterator[SplitBlock]:
        nonlocal count
        for block in blocks:
            count += block.rows
            spans.append(block.ids)
            progress(path.name, block.rows)
            yield block

    with opened(path) as stream, BackgroundWriter(target, schema) as part:
        reader = FileReader(stream, path.name, table)
        if reader.ignored:
            log.warning("%s: ignored %s", shown(path.name), _extra_columns(reader.ignored))
        blocks = noted(run_ahead(_block_splitter(reader, table, schema), reader.blocks()))
        rows = _write_typed(blocks, part)
        first = next(rows, None)
        ambiguous: list[Column] = []
        if first or part.is_empty:  # even a part without rows has its columns
            rows = chain([first] if first else [], rows)
            with writing(target, duckdb.IOException):
                type_cells(database, table, reader.columns, reader.delimiter, rows, others)
                ambiguous = find_ambiguous_columns(database, table, others)
                refuse_other_order(
                    database, table, reader.columns, reader.delimiter, others, path.name
                )
            _append(others, part)
    if others.exists():  # it has all rows
        others.replace(target)
    with writing(target, duckdb.IOException):
        void_ambiguous_numbers(database, ambiguous, target)
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


def _write_typed(blocks: Iterable[SplitBlock], part: BackgroundWriter) -> Rows:
    """Writes the rows that are typed, and yields the others."""
    kept: list[pa.RecordBatch] = []
    size = 0
    for block in blocks:
        if block.typed:
            part.write(block.typed)
        if block.others.num_rows:
            kept.append(block.others)
            size += block.others.nbytes
        if size >= _SQL_BYTES:
            yield pa.concat_batches(kept)
            kept, size = [], 0
    if kept:
        yield pa.concat_batches(kept)


def _append(others: Path, part: BackgroundWriter) -> None:
    """Moves the rows of a file to the end of a part, unless the part would have no other rows."""
    if part.is_empty:
        return
    for batch in arrow.batches(others):
        part.write(batch.cast(part.schema))
    others.unlink()


def _block_splitter(
    reader: FileReader, table: Table, schema: pa.Schema
) -> Callable[[Block], SplitBlock]:
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
    return partial(_split, type_here=type_here, names=["line_number", *names], schema=schema)


def _split(
    block: Block,
    type_here: Callable[[bytes], TypedLines] | None,
    names: list[str],
    schema: pa.Schema,
) -> SplitBlock:
    if not isinstance(block, PlainLines):
        return SplitBlock(None, block, None)
    if type_here is None:
        return SplitBlock(None, block.rows(), None)
    is_typed, values, ids = type_here(block.text)
    columns = dict(zip(names, [arrow.array(block.numbers[is_typed]), *values], strict=True))
    count = int(is_typed.sum())
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in schema]
    typed = pa.record_batch(arrays, schema=schema)
    span = None if ids is None else span_of(ids)
    return SplitBlock(typed, block.rows(~is_typed), span)
