"""Reads one file of a drop, in any dialect, as a stream of rows with their physical lines.

Almost every line of a real file is *plain*: its quotes, if any, only enclose whole fields. Plain
lines go on as text that the delimiter alone takes apart; all work on them is done a block at a time
by C code. The few others (delimiters, quotes or line breaks inside of quotes, NUL bytes) are parsed
here, field by field. Cells are typed later (digit_arrays.py, type_cells.py).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiment_features.contract import FIELD_BYTES, Table
from experiment_features.engines import arrow
from experiment_features.errors import DropRefused
from experiment_features.reading.dialect import (
    Flags,
    Offsets,
    Record,
    UnclosedQuote,
    find_line_ends,
)
from experiment_features.reading.header import read_header
from experiment_features.reading.text_stream import TextStream, explain_backslash
from experiment_features.visible_text import shown

ROWS = pa.schema(
    [
        ("line_number", pa.int64()),  # on which the row starts, from 1
        ("line", pa.string()),  # the row's text; only that of a plain line can be split
        ("fields", pa.list_(pa.string())),  # the cells, where the reader parsed them; else NULL
        ("fault", pa.string()),  # malformed_quotes; else NULL
        ("has_nul", pa.bool_()),
    ]
)

_LINE_END = re.compile(rb"\r\n|\r|\n")
_ID = re.compile(rb'[ \t"]*[+-]?[0-9]+[ \t"]*')
_LIKE_AN_ID = re.compile(rb'[ \t"]*[^ \t"0-9]*[0-9][^ \t"]*[ \t"]*')
"""As people write them: ``U2``, ``2.0``, ``#2``."""


@dataclass(frozen=True)
class PlainLines:
    """Lines that the delimiter alone takes apart: without quotes and padding, ending in LF."""

    text: bytes
    ends: Offsets
    """The offset after each line's end."""

    numbers: Offsets
    """The number of each line."""

    def rows(self, is_selected: Flags | None = None) -> pa.RecordBatch:
        """The selected lines, or all, as rows (ROWS); empty lines are not rows."""
        offsets = np.concatenate(([0], self.ends)).astype(np.int32)
        is_row = np.diff(offsets) > 1
        if is_selected is not None:
            is_row &= is_selected
        buffers = pa.py_buffer(offsets), pa.py_buffer(self.text)
        lines = pa.StringArray.from_buffers(len(self.ends), *buffers).filter(arrow.array(is_row))
        numbers = self.numbers[is_row]
        count = len(numbers)
        arrays = [
            arrow.array(numbers),
            pc.ascii_rtrim(lines, "\n"),
            pa.nulls(count, ROWS.field("fields").type),
            pa.nulls(count, pa.string()),
            arrow.array(np.zeros(count, np.bool_)),
        ]
        return pa.record_batch(arrays, schema=ROWS)


Block: TypeAlias = PlainLines | pa.RecordBatch
"""Some rows of a file: plain lines, or a batch of ROWS that the reader parsed field by field."""


class FileReader:
    """The rows of one file of a drop.

    ``columns`` is its header, in lower case; ``ignored`` are the names in it, as they stand in the
    file, that are none of the table's.
    """

    def __init__(self, stream: BinaryIO, name: str, table: Table) -> None:
        """Opens the file and reads its header.

        Args:
            stream: the stored bytes, compressed if ``name`` ends in one of COMPRESSIONS.
            name: the file's name, for messages.
            table: what the file must hold.

        Raises:
            DropRefused: the file is not text, or its header is not the table's.
        """
        self.text = TextStream(stream, name)
        header = read_header(self.text, table)
        self.columns = header.columns
        self.ignored = [
            name
            for name, column in zip(header.names, self.columns, strict=True)
            if column not in table.column_names
        ]
        self._dialect = header.dialect
        self._key = self.columns.index(table.key)
        limits = {column.name: column.max_bytes for column in table.columns}
        self._max_bytes = [limits.get(name, FIELD_BYTES) for name in self.columns]

    @property
    def delimiter(self) -> str:
        """The character between two fields."""
        return self._dialect.delimiter.decode()

    def blocks(self) -> Iterator[Block]:
        """Yields every row after the header once.

        Raises:
            DropRefused: the bytes are not UTF-8, the archive is broken, or a quote stays open.
        """
        while True:
            whole = self.text.whole_lines()
            if whole:
                yield from self._split(whole)
            if self.text.is_last:
                return
            self.text.fetch()

    def _split(self, text: bytes) -> Iterator[Block]:
        """Yields the rows of ``text`` and consumes it, all but a last row that goes on after it."""
        ends = find_line_ends(text)
        starts = np.concatenate(([0], ends[:-1]))
        is_plain = np.ones(len(ends), dtype=np.bool_)
        is_plain[self._dialect.find_bare_lines(text, starts, ends)] = False  # they are not rows
        read = len(ends)
        if b'"' in text or b"\0" in text:
            records, read = self._parse_odd_rows(text, starts, ends, is_plain)
            if records:
                texts = [text[int(starts[i]) : record.end] for i, record in records.items()]
                numbers = [self.text.line + i for i in records]
                yield _parsed_rows(numbers, texts, list(records.values()))
        is_plain[read:] = False
        self._refuse_long_lines(text, starts, ends, is_plain)
        if is_plain.any():
            yield self._plain_lines(text, starts, ends, is_plain)
        self.text.consume(int(ends[read - 1]) if read else 0, read)

    def _parse_odd_rows(
        self, text: bytes, starts: Offsets, ends: Offsets, is_plain: Flags
    ) -> tuple[dict[int, Record], int]:
        """Parses the rows that are not plain, and marks their lines in ``is_plain``.

        Returns:
            The rows by the index of their first line, and how many lines could be read: all, or
            those before a row that goes on after ``text``.
        """
        records: dict[int, Record] = {}
        end = 0
        for index in np.flatnonzero(self._dialect.find_odd_lines(text, starts, ends)).tolist():
            start = int(starts[index])
            if start < end:
                continue  # a line inside of a quoted field
            try:
                record = self._dialect.parse_record(text, start)
            except UnclosedQuote:
                self.text.refuse_endless_row(start)
                return records, index
            end = record.end
            after = int(np.searchsorted(ends, end)) + 1
            line = self.text.line + index
            self._refuse_long_fields(record, line)
            if record.is_malformed and after - index > 1:
                self._refuse_doubtful_end(text[start:end], line, self.text.line + after - 1)
            if after - index > 1:
                self._refuse_swallowed_row(text[start:end], line)
            is_plain[index:after] = False
            records[index] = record
        return records, len(ends)

    def _refuse_doubtful_end(self, row: bytes, first: int, last: int) -> None:
        """Refuses a malformed row that spans lines: which of them belong to it is a guess."""
        raise DropRefused(
            f"{self.text.name} line {first}: a quoted field that begins in this row ends in line "
            f"{last}, where text follows its closing quote. Close the quote where the field ends, "
            f"or double it if it is part of the text{explain_backslash(row)}",
            line=first,
        )

    def _refuse_swallowed_row(self, row: bytes, first: int) -> None:
        """Refuses a row that spans lines if another one after its first line is a whole row."""
        start, *lines = _LINE_END.split(row)
        if start.count(self._dialect.delimiter) < len(self.columns) - 1:
            return
        for number, line in enumerate(lines, start=first + 1):
            if self._is_whole_row(line):
                raise DropRefused(
                    f"{self.text.name} line {first}: a quoted field of this row spans lines, but "
                    f"line {number} is a whole row by itself. Remove the stray quotes, or double "
                    "them; if the text really is one field, remove its line break",
                    line=first,
                )

    def _is_whole_row(self, line: bytes) -> bool:
        """Whether a line has a cell for every column, and an id, which may be malformed.

        Quoted delimiters may make a line look longer; then its id is where it is from one end, and
        a whole number, because text has many cells.
        """
        cells, count = line.split(self._dialect.delimiter), len(self.columns)
        if len(cells) == count:
            return bool(_LIKE_AN_ID.fullmatch(cells[self._key]))
        places = (self._key, self._key - count) if len(cells) > count else ()
        return any(_ID.fullmatch(cells[place]) for place in places)

    def _refuse_long_lines(
        self, text: bytes, starts: Offsets, ends: Offsets, is_plain: Flags
    ) -> None:
        """Refuses plain lines with a field that is too long."""
        is_long = is_plain & (ends - starts > min(self._max_bytes))
        for index in np.flatnonzero(is_long).tolist():
            record = self._dialect.parse_record(text, int(starts[index]))
            self._refuse_long_fields(record, self.text.line + index)

    def _refuse_long_fields(self, record: Record, line: int) -> None:
        """Refuses a row with a field that is too long: more than its column may hold."""
        is_whole = len(record.fields) == len(self.columns)
        for number, field in enumerate(record.fields):
            name = self.columns[number] if is_whole else f"field {number + 1}"
            most = self._max_bytes[number] if is_whole else FIELD_BYTES
            if len(field) > most:
                raise DropRefused(
                    f"{self.text.name} line {line}: {shown(name)} has {len(field)} bytes, expected "
                    f"at most {most}. Shorten it, or add the missing closing quote",
                    line=line,
                    column=name if is_whole else None,
                )

    def _plain_lines(
        self, text: bytes, starts: Offsets, ends: Offsets, is_plain: Flags
    ) -> PlainLines:
        """The plain ones of some lines, without their quotes and padding."""
        numbers = self.text.line + np.flatnonzero(is_plain)
        plain = text
        if not is_plain.all() or b"\r" in plain:
            characters = np.frombuffer(plain, np.uint8).copy()
            characters[ends - 1] = ord("\n")  # before lines go: CR and LF of two must not meet
            plain = characters[np.repeat(is_plain, ends - starts)].tobytes().replace(b"\r", b"")
        if b'"' in plain:
            plain = plain.translate(None, b'"')
        plain = self._dialect.strip_padding(plain)
        plain_ends = ends if plain is text else find_line_ends(plain)
        return PlainLines(plain, plain_ends, numbers)


def _parsed_rows(numbers: list[int], texts: list[bytes], records: list[Record]) -> pa.RecordBatch:
    """Rows that were parsed field by field, with their text, as ROWS."""
    fields = [field.decode() for record in records for field in record.fields]
    ends = np.cumsum([0, *(len(record.fields) for record in records)], dtype=np.int32)
    is_malformed = arrow.array(np.array([record.is_malformed for record in records]))
    fault = arrow.text("malformed_quotes"), pa.nulls(len(records), arrow.TEXT)
    arrays = [
        arrow.array(np.array(numbers, np.int64)),
        arrow.texts(text.rstrip(b"\r\n").decode() for text in texts),
        pa.ListArray.from_arrays(arrow.array(ends), arrow.texts(fields)),
        pc.if_else(is_malformed, *fault),
        arrow.array(np.array([b"\0" in text for text in texts])),
    ]
    casts = (array.cast(field.type) for array, field in zip(arrays, ROWS, strict=True))
    return pa.record_batch([*casts], schema=ROWS)
