"""Rows of a file as the reader hands them on, a block at a time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiment_features.engines import arrow
from experiment_features.reading.dialect import Flags, Offsets, Record

ROWS = pa.schema(
    [
        ("position", pa.int64()),  # contract.position_of the line on which the row starts
        ("line", pa.string()),  # the row's text; only that of a plain line can be split
        ("fields", pa.list_(pa.string())),  # the cells, where the reader parsed them; else NULL
        ("fault", pa.string()),  # malformed_quotes; else NULL
        ("has_nul", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class PlainLines:
    """Lines that the delimiter alone takes apart: without quotes and padding, ending in LF."""

    text: bytes
    ends: Offsets
    """The offset behind each line's end."""

    positions: Offsets

    def rows(self, is_selected: Flags | None = None) -> pa.RecordBatch:
        """The selected lines, or all, as rows (ROWS); empty lines are none."""
        offsets = np.concatenate(([0], self.ends)).astype(np.int32)
        is_row = np.diff(offsets) > 1
        if is_selected is not None:
            is_row &= is_selected
        buffers = pa.py_buffer(offsets), pa.py_buffer(self.text)
        lines = pa.StringArray.from_buffers(len(self.ends), *buffers).filter(arrow.array(is_row))
        positions = self.positions[is_row]
        count = len(positions)
        arrays = [
            arrow.array(positions),
            pc.ascii_rtrim(lines, "\n"),
            pa.nulls(count, ROWS.field("fields").type),
            pa.nulls(count, pa.string()),
            arrow.array(np.zeros(count, np.bool_)),
        ]
        return pa.record_batch(arrays, schema=ROWS)


Block = PlainLines | pa.RecordBatch
"""Some rows of a file: plain lines, or a batch of ROWS that the reader parsed field by field."""


def parsed_rows(positions: list[int], texts: list[bytes], records: list[Record]) -> pa.RecordBatch:
    """Rows that were parsed field by field, with their text, as ROWS."""
    columns = [
        positions,
        [text.rstrip(b"\r\n").decode() for text in texts],
        [[field.decode() for field in record.fields] for record in records],
        ["malformed_quotes" if record.is_malformed else None for record in records],
        [b"\0" in text for text in texts],
    ]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, ROWS, strict=True)]
    return pa.record_batch(arrays, schema=ROWS)
