"""Convert: one file of a drop becomes typed Parquet.

    file -> reader.py -> plain lines -> numerals.py -> 0001_plain.parquet
                   |            '-> the others -.
                   '-> parsed rows -------------'-> sql/extract_<table>.sql -> 0001.parquet

Both Parquet files are read as one; a column that ``0001_plain.parquet`` lacks is NULL there.
"""

import ctypes
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy.typing as npt
import pyarrow as pa

from experiment_features.contract import Table
from experiment_features.drop.files import DropFile, opened
from experiment_features.drop.object_storage import AnyPath
from experiment_features.engines import arrow
from experiment_features.engines.duckdb_engine import open_duckdb
from experiment_features.reading.file_reader import ROWS, FileReader, PlainLines
from experiment_features.reading.plain_file import PlainFile
from experiment_features.reading.plain_lines import TYPED_HERE, TypedLines, type_lines

log = logging.getLogger(__name__)

Progress = Callable[[str, int], None]
"""Told the name of the file being read and how many more of its rows were read."""

Rows = Iterator[pa.RecordBatch]
"""Batches of reader.ROWS."""

_TYPING_THREADS = min(4, os.cpu_count() or 1)
"""One thread reads and one writes beside them, so that more would only wait."""

_SQL_BYTES = 4 * 2**20
"""Of rows that SQL must type, so many are kept until they are: few at a time take longer."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""glibc's numbers (malloc.h) of the options that _keep_freed_memory sets."""

_SQL = files("experiment_features.reading") / "sql"


class Halves(NamedTuple):
    """The rows of a block."""

    typed: pa.RecordBatch | None
    """Those that numerals.py types: position, and the contract's columns."""
    others: pa.RecordBatch
    """Those that SQL must type (reader.ROWS)."""
    keys: npt.NDArray[Any] | None
    """The keys of both, in order, if they can be known now."""


class Converted(NamedTuple):
    """What is known of a file that was typed."""

    file: DropFile
    """The file's table, name, bytes, sha256 and rows."""
    keys: tuple[int, int] | None
    """The first row's key and the last row's, if it rises from each row to the next."""


@contextmanager
def open_converter() -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens the database in which the files of a drop are typed."""
    _keep_freed_memory()
    with open_duckdb() as database:
        # What the macros take apart, file by file.
        database.register("rows", pa.RecordBatchReader.from_batches(ROWS, []))
        database.execute((_SQL / "extract_macros.sql").read_text())
        yield database


def _keep_freed_memory() -> None:
    """Has this process keep the memory that a block of lines leaves, for the next one.

    glibc hands such large pieces back to the system, which clears them before it gives them again:
    a third of the time that typing takes. Other C libraries do as they do. See man 3 mallopt.
    """
    with suppress(AttributeError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, 32 * 2**20)
        set_option(_M_TRIM_THRESHOLD, 64 * 2**20)


def convert_file(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    path: AnyPath,
    number: int,
    folder: Path,
    progress: Progress,
) -> Converted:
    """Types one file.

    Args:
        database: of open_converter.
        table: whose file it is.
        path: the file.
        number: which file of its table it is, from 1.
        folder: gets the typed rows. Grain: row of the file, in no order; key: position; columns:
            fault, line (the text of a row that could not be taken apart), has_nul, and the
            contract's columns, each with its ``_text`` where the value does not give the cell's
            spelling back.
        progress: told of the rows as they are read.

    Raises:
        DropRefused: the file cannot be read as the contract asks.
        WorkspaceUnavailable, duckdb.IOException: the folder cannot be written.
    """
    target = folder / f"{number:04}.parquet"
    errors: list[BaseException] = []
    plain_file = PlainFile(target.with_stem(f"{number:04}_plain"))
    keys = _Keys()
    with opened(path) as stream, plain_file as plain:
        reader = FileReader(stream, path.name, number, table)
        ignored = [name for name in reader.columns if name not in table.column_names]
        if ignored:
            log.warning("%s: ignored the extra columns %s", path.name, ", ".join(ignored))
        others = _remembered(_typed_in_sql(reader, table, plain, keys, progress), errors)
        database.register("rows", pa.RecordBatchReader.from_batches(ROWS, others))
        query = (_SQL / f"extract_{table.name}.sql").read_text()
        columns = {name: reader.columns.index(name) + 1 for name in table.column_names}
        settings = {"delimiter": reader.delimiter, "width": len(reader.columns)}
        try:
            relation = database.execute(query, {**columns, **settings, "target": str(target)})
            ((count,),) = relation.fetchall()
        except duckdb.Error:
            if errors:  # DuckDB wraps what the rows raised
                raise errors[0] from None
            raise
    file: DropFile = {
        "table": table.name,
        "name": path.name,
        "bytes": reader.size,
        "sha256": reader.sha256,
        "rows": count + plain.count,
    }
    return Converted(file, keys.span)


def _typed_in_sql(
    reader: FileReader, table: Table, plain: "PlainFile", keys: "_Keys", progress: Progress
) -> Rows:
    """Yields the rows that SQL must type; the others go to ``plain``, and all keys to ``keys``."""
    kept: list[pa.RecordBatch] = []
    kept_bytes = 0
    with ThreadPoolExecutor(_TYPING_THREADS) as threads:
        for block in _in_order(threads, _halves(reader, table)):
            progress(
                reader.name, (block.typed.num_rows if block.typed else 0) + block.others.num_rows
            )
            keys.note(block.keys)
            if block.typed:
                plain.write(block.typed)
            if block.others.num_rows:
                kept.append(block.others)
                kept_bytes += block.others.nbytes
            if kept_bytes >= _SQL_BYTES:
                yield pa.concat_batches(kept)
                kept, kept_bytes = [], 0
    if kept:
        yield pa.concat_batches(kept)


def _halves(reader: FileReader, table: Table) -> Iterator[Callable[[], Halves]]:
    """Each block, to be taken as the rows that numerals.py types and those that SQL must type."""
    kinds = {column.name: column.kind for column in table.columns}
    by_cell = [kinds.get(name) for name in reader.columns]
    names = ["position", *(name for name in reader.columns if name in kinds)]
    type_here = partial(
        type_lines,
        delimiter=reader.delimiter,
        kinds=by_cell,
        key=reader.columns.index(table.key),
    )
    can_type = TYPED_HERE.issuperset(kinds.values())
    for block in reader.blocks():
        yield partial(_split, block, type_here if can_type else None, names)


def _split(
    block: PlainLines | pa.RecordBatch,
    type_here: Callable[[bytes], TypedLines] | None,
    names: list[str],
) -> Halves:
    if not isinstance(block, PlainLines):
        return Halves(None, block, None)
    if type_here is None:
        return Halves(None, block.rows(), None)
    is_typed, values, keys = type_here(block.text)
    typed = pa.record_batch([arrow.array(block.positions[is_typed]), *values], names)
    return Halves(typed, block.rows(~is_typed), keys)


def _in_order(
    threads: ThreadPoolExecutor, calls: Iterator[Callable[[], Halves]]
) -> Iterator[Halves]:
    """What the calls return; some of them run ahead in the threads."""
    running: deque[Future[Halves]] = deque()
    for call in calls:
        running.append(threads.submit(call))
        if len(running) > _TYPING_THREADS:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


class _Keys:
    """Whether the keys of a file rise from each row to the next; then no key is there twice."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last = -1  # numerals.py reads no sign
        self._rise = True

    def note(self, keys: npt.NDArray[Any] | None) -> None:
        """Takes the keys of the next rows; None if they are not known."""
        if keys is None or keys[0] <= self._last or not (keys[1:] > keys[:-1]).all():
            self._rise = False
            return
        if self._first is None:
            self._first = int(keys[0])
        self._last = int(keys[-1])

    @property
    def span(self) -> tuple[int, int] | None:
        """The first key and the last one, if there are any and they rise."""
        return (self._first, self._last) if self._rise and self._first is not None else None


def _remembered(rows: Rows, errors: list[BaseException]) -> Rows:
    """The rows; keeps what making them raises, or a signal's handler meanwhile."""
    try:
        yield from rows
    except GeneratorExit:  # nobody wants more of them
        raise
    except BaseException as error:
        errors.append(error)
        raise
