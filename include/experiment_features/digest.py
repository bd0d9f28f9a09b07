r"""The digest of relations: equal if their rows are, in whatever order, and different if not.

A checksum against accidents: it is not made to resist somebody who wants two of them to be equal.

It is the sum, modulo 2^256, of the sha256 of each row, shown as 64 hexadecimal digits. The sha256
is of these bytes: the relation's name; then, for each column in ascending order of their names, a
line end (``\n``), the column's name, ``=``, and the value:

| value | as |
|---|---|
| NULL | nothing |
| whole number | decimal digits, after ``-`` if it is negative: ``-7`` |
| double | its 64 bits, the sign first, as 16 hexadecimal digits: ``3ff8000000000000`` for 1.5 |
| text | how many bytes it has in UTF-8, ``:``, and these bytes: ``4:Zoë``; ``0:`` if it is empty |
| list of whole numbers | ``[1,2]``; none of them is NULL |

All is UTF-8, and all hexadecimal digits are lower case. No other width of a type, and no other
order of columns, changes anything. Rows that come or go can be added to a sum or subtracted.
"""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiment_features.engines import arrow

MODULUS = 2**256

ISSUE_COLUMNS = {
    "table_name": "text",
    "row_id": "bigint",
    "rule": "text",
    "column_name": "text",
    "value": "text",
}
"""Of the digest of issues, with their types: which file a row is in says nothing of the row."""

_NONE, _COLON, _COMMA, _OPENED, _CLOSED = map(arrow.text, ("", ":", ",", "[", "]"))


def digest_of(relations: Iterable[tuple[str, Sequence[str], Path]]) -> str:
    """The digest of relations together.

    Args:
        relations: of each, its name, the names of its columns, and its Parquet file or files: rows
            may lie in another order, among other columns. Without a file, there are none.

    Raises:
        TypeError: a column is of a type that is not in the table above.
    """
    return f"{sum(sum_of_rows(*each) for each in relations) % MODULUS:064x}"


def sum_of_rows(name: str, columns: Sequence[str], rows: Path) -> int:
    """The sum of the sha256 of a relation's rows: see digest_of."""
    if not rows.exists():
        return 0
    return sum(_sum(name, batch.select(sorted(columns))) for batch in arrow.batches(rows))


def _sum(name: str, batch: pa.RecordBatch) -> int:
    """The sum of the sha256 of a batch's rows, less than 2^256 times their number."""
    if not batch.num_rows:
        return 0
    parts: list[pa.Array | pa.Scalar] = [arrow.text(name)]
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        parts += [arrow.text(f"\n{column}="), pc.fill_null(_written(values), _NONE)]
    lines = pc.binary_join_element_wise(*parts, _NONE)
    _, ends, content = lines.buffers()
    text, bounds = memoryview(content), np.frombuffer(ends, np.int64)[lines.offset :]
    rows = pairwise(bounds[: len(lines) + 1].tolist())
    digests = b"".join(hashlib.sha256(text[start:end]).digest() for start, end in rows)
    # Added up by 32 bits at a time: no sum of a batch leaves 64.
    words = np.frombuffer(digests, ">u4").reshape(-1, 8).sum(axis=0, dtype=np.uint64).tolist()
    return sum(word << 32 * place for place, word in enumerate(reversed(words)))


def _written(values: pa.Array) -> pa.Array:
    """Each value as the table above has it; NULL where it is NULL."""
    kind = values.type
    if pa.types.is_floating(kind):
        return _bits(values.cast(pa.float64()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = values.cast(arrow.TEXT)
        return pc.binary_join_element_wise(pc.binary_length(text).cast(arrow.TEXT), text, _COLON)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if pa.types.is_integer(kind.value_type):
            items = pc.binary_join(values.cast(pa.large_list(arrow.TEXT)), _COMMA)
            return pc.binary_join_element_wise(_OPENED, items, _CLOSED, _NONE)
    elif pa.types.is_integer(kind) or pa.types.is_null(kind):
        return values.cast(arrow.TEXT)
    raise TypeError(f"there is no digest of {kind}: digest.py says how values are written")


def _bits(values: pa.Array) -> pa.Array:
    """Doubles as 16 hexadecimal digits each."""
    validity, content = values.buffers()
    doubles = np.frombuffer(content, np.float64)[: values.offset + len(values)]
    ends = pa.py_buffer(np.arange(len(doubles) + 1) * 16)
    digits = pa.py_buffer(doubles.astype(">f8").tobytes().hex().encode())
    buffers = [validity, ends, digits]
    return pa.Array.from_buffers(arrow.TEXT, len(values), buffers, offset=values.offset)
