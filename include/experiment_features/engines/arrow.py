"""Arrow's values without pandas.

pa.array and pa.scalar import pandas, to see whether what they are given is its. That takes a third
of a second, which a run on DuckDB can do without.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

TEXT = pa.large_string()
"""A batch may hold more than 2 GiB of text."""

BATCH_ROWS = 50_000
BATCH_BYTES = 16 * 2**20

_TYPES = {
    np.dtype(np.bool_): pa.bool_(),
    np.dtype(np.int32): pa.int32(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.float64): pa.float64(),
}


def array(values: npt.NDArray[Any], is_null: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """The values as an array: booleans, int32, int64 or float64; NULL where ``is_null``."""
    is_flags = values.dtype == np.bool_
    content = _bits(values) if is_flags else pa.py_buffer(np.ascontiguousarray(values))
    is_valid = None if is_null is None else _bits(~is_null)
    return pa.Array.from_buffers(_TYPES[values.dtype], len(values), [is_valid, content])


def integers(column: pa.Array) -> npt.NDArray[np.int64]:
    """The values of a column of integers, none of which is NULL; the inverse of ``array``."""
    values = np.frombuffer(column.cast(pa.int64()).buffers()[1], np.int64)
    return values[column.offset : column.offset + len(column)]


def _bits(flags: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def texts(values: Iterable[str]) -> pa.Array:
    """The texts as an array of TEXT."""
    contents = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, contents)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(contents))]
    return pa.Array.from_buffers(TEXT, len(contents), buffers)


def text(value: str) -> pa.Scalar:
    """The text as a scalar of TEXT."""
    return texts([value])[0]


def files_of(rows: Path) -> list[Path]:
    """The Parquet files of a relation: one, none, or those in a folder as Spark writes it."""
    if rows.is_dir():
        return sorted(rows.glob("*.parquet"), key=lambda file: (len(file.name), file.name))
    return [rows] if rows.exists() else []


def find_nulls(file: Path) -> tuple[set[str], set[str]]:
    """The columns of a Parquet file without NULLs, and those of nothing else: by its statistics.

    Those of lists are among neither.
    """
    metadata = pq.read_metadata(file)
    full = {metadata.schema.column(number).path for number in range(metadata.num_columns)}
    empty = set(full)
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            name, found = column.path_in_schema, column.statistics
            nulls = found.null_count if found and found.has_null_count else None
            if nulls != 0:
                full.discard(name)
            if nulls != group.num_rows:
                empty.discard(name)
    return full, empty


def batches(rows: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a relation, so many at a time that memory does not grow with their size.

    Raises:
        OSError: it has no file.
    """
    for path in files_of(rows) or [rows]:
        with pq.ParquetFile(path) as file:
            yield from _batches(file, columns)


def _batches(file: pq.ParquetFile, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    row_bytes = max(
        (group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0
    )
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES // (row_bytes + 1)))
    yield from file.iter_batches(rows, columns=columns)
