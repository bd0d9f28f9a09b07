"""Reads one file of a drop, in whatever dialect, as a stream of rows with their physical lines.

The way of the bytes, a block of a megabyte at a time, each passing once:

    stored file -> hash -> decompress -> whole lines -> UTF-8 -> rows

Almost every line of a real file is *plain*: its quotes, if any, only enclose whole fields. Plain
lines go on as text that the delimiter alone takes apart; all work on them is done a block at a time
by C code. The few others (delimiters, quotes or line breaks inside of quotes, NUL bytes) are parsed
here, field by field. Cells are typed later (numerals.py, sql/).
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from experiment_features.contract import LINES_PER_FILE, Table
from experiment_features.drop.files import COMPRESSIONS
from experiment_features.engines import arrow
from experiment_features.errors import DropRefused
from experiment_features.reading.dialect import (
    DELIMITERS,
    Dialect,
    Flags,
    Offsets,
    Record,
    UnclosedQuote,
    count_line_ends,
    find_line_ends,
)

ROWS = pa.schema(
    [
        ("position", pa.int64()),  # file number * LINES_PER_FILE + physical line of the row's start
        ("line", pa.string()),  # the row's text; only of a plain line can it be split
        ("fields", pa.list_(pa.string())),  # the cells, where they were parsed here; else NULL
        ("fault", pa.string()),  # malformed_quotes; else NULL
        ("has_nul", pa.bool_()),
    ]
)

BLOCK_BYTES = 2**20
RECORD_BYTES = 64 * 2**20
"""A row may be this long: more is a quote that was never closed, or no table at all."""

BOM = b"\xef\xbb\xbf"


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


class _HashingStream:
    """Counts and hashes what is read through it; as much of a file as pyarrow asks for."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0

    def read(self, size: int) -> bytes:
        """Reads up to ``size`` bytes."""
        chunk = self._stream.read(size)
        self.sha256.update(chunk)
        self.size += len(chunk)
        return chunk

    def close(self) -> None:
        """Leaves the file open: whoever opened it closes it."""


class FileReader:
    """The rows of one file of a drop; ``columns`` is its header, in lower case."""

    def __init__(self, stream: BinaryIO, name: str, number: int, table: Table) -> None:
        """Opens the file and reads its header.

        Args:
            stream: the stored bytes, compressed if ``name`` ends in one of COMPRESSIONS.
            name: the file's name, for messages.
            number: which file of its table it is, from 1.
            table: what the file must hold.

        Raises:
            DropRefused: the file is no text, or its header is not the table's.
        """
        self.name = name
        self._base = number * LINES_PER_FILE
        self._stored = _HashingStream(stream)
        self._chunks = self._decompressed()
        self._pending = b""  # what was fetched and is not yet read
        self._offset = 0  # where it begins, in bytes
        self._line = 1  # and in lines
        self._is_last = False  # whether the file ends with it
        self._read_header(table)

    @property
    def size(self) -> int:
        """The bytes of the file as stored; true once ``blocks()`` is at its end."""
        return self._stored.size

    @property
    def sha256(self) -> str:
        """The hash of the file as stored; true once ``blocks()`` is at its end."""
        return self._stored.sha256.hexdigest()

    @property
    def delimiter(self) -> str:
        """The character between two fields."""
        return self._dialect.delimiter.decode()

    def blocks(self) -> Iterator[PlainLines | pa.RecordBatch]:
        """Yields every row behind the header once: plain lines, or a batch of ROWS.

        Raises:
            DropRefused: the bytes are not UTF-8, the archive is broken, or a quote stays open.
        """
        while True:
            whole = self._whole_lines()
            if whole:
                yield from self._split(whole)
            if self._is_last:
                return
            self._fetch()

    # ---- bytes -------------------------------------------------------------------------------

    def _decompressed(self) -> Iterator[bytes]:
        codec = next((c for end, c in COMPRESSIONS.items() if self.name.endswith(end)), None)
        stream = self._stored
        if codec:
            stream = pa.CompressedInputStream(pa.PythonFile(self._stored, mode="r"), codec)
        try:
            while chunk := stream.read(BLOCK_BYTES):
                yield chunk
        except OSError as error:
            if codec is None:
                raise
            raise DropRefused(
                f"{self.name} is a broken {codec} archive ({error}), seen within its first "
                f"{self.size} bytes: drop the file again"
            ) from error

    def _fetch(self) -> None:
        """Appends the next block to what is pending, or closes the last line.

        As much again, if that is more: a row of many blocks is then looked at a few times only.
        """
        chunks = list(islice(self._chunks, max(1, len(self._pending) // BLOCK_BYTES)))
        if chunks:
            self._pending += b"".join(chunks)
        else:
            self._is_last = True
            if self._pending and not self._pending.endswith((b"\n", b"\r")):
                self._pending += b"\n"

    def _whole_lines(self) -> bytes:
        """The pending lines that are complete, as checked UTF-8.

        A CR at the very end may be half of a CRLF, so its line waits.
        """
        text = self._pending
        if not self._is_last:
            cut = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
            if cut == 0 and len(text) > RECORD_BYTES:
                raise DropRefused(
                    f"{self.name} line {self._line} has no end within {RECORD_BYTES} bytes: "
                    "expected a table of text lines"
                )
            text = text[:cut]
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self._line + count_line_ends(text[: error.start])
            raise DropRefused(
                f"{self.name} is not UTF-8: byte 0x{text[error.start]:02x} at offset "
                f"{self._offset + error.start}, in line {line}"
                f"{_encoding_hint(text, error.start)}. Save the file as UTF-8"
            ) from None
        return text

    def _consume(self, size: int, lines: int) -> None:
        self._pending = self._pending[size:]
        self._offset += size
        self._line += lines

    def _refuse_endless_row(self, start: int) -> None:
        """Refuses the drop unless text that is not yet fetched may still close the quote."""
        if self._is_last or len(self._pending) - start > RECORD_BYTES:
            line = self._line + count_line_ends(self._pending[:start])
            raise DropRefused(
                f"{self.name} line {line}: a quoted field begins in this row and is not closed "
                "before the file's end. Close the quote, or double it if it is part of the text"
            )

    # ---- header ------------------------------------------------------------------------------

    def _read_header(self, table: Table) -> None:
        """Reads up to and with the header; chooses the dialect."""
        while len(self._pending) < len(BOM) and not self._is_last:
            self._fetch()
        if self._pending.startswith(BOM):
            self._consume(len(BOM), 0)
        while True:
            whole = self._whole_lines()
            blank = re.match(rb"(?:[ \t]*(?:\r\n|\r|\n))*", whole)
            skipped = blank.end() if blank else 0
            self._consume(skipped, count_line_ends(whole[:skipped]))
            if skipped < len(whole):
                try:
                    return self._choose_dialect(whole[skipped:], table)
                except UnclosedQuote:
                    self._refuse_endless_row(0)
            if self._is_last:
                raise DropRefused(
                    f"{self.name} is empty: expected a header line with the columns "
                    f"{', '.join(table.column_names)}"
                )
            self._fetch()

    def _choose_dialect(self, text: bytes, table: Table) -> None:
        """Takes the delimiter under which the header names most of the table's columns."""
        headers: list[tuple[int, Dialect, Record, list[str]]] = []
        for dialect in map(Dialect, DELIMITERS):
            with suppress(UnclosedQuote):  # quotes make no sense under a wrong delimiter
                header = dialect.parse_record(text, 0)
                columns = [field.decode().lower() for field in header.fields]
                found = len(set(table.column_names).intersection(columns))
                headers.append((found, dialect, header, columns))
        best = max(headers, key=itemgetter(0), default=None)
        is_sure = len(headers) == len(DELIMITERS) or (best and best[0] == len(table.columns))
        if best is None or not (is_sure or self._is_last):
            raise UnclosedQuote
        _, self._dialect, record, self.columns = best
        self._check_header(table, record, text[: record.end])
        self._consume(record.end, count_line_ends(text[: record.end]))

    def _check_header(self, table: Table, record: Record, text: bytes) -> None:
        header = f"{self.name} line {self._line}: the header"
        if b"\0" in text:
            raise DropRefused(
                f"{header} holds NUL bytes, as UTF-16 and binary files do: expected text. "
                "Save the file as UTF-8"
            )
        if record.is_malformed:
            raise DropRefused(
                f"{header} has text behind a closing quote: double the quotes inside of a name"
            )
        missing = [name for name in table.column_names if name not in self.columns]
        if missing:
            shown = ", ".join(repr(name[:60]) for name in self.columns[:12])
            raise DropRefused(
                f"{header} lacks the column {', '.join(missing)}; found {shown}. "
                "Add the column, or drop the right file"
            )
        double = sorted({name for name in self.columns if name and self.columns.count(name) > 1})
        if double:
            raise DropRefused(
                f"{header} has the column {', '.join(double)} more than once: remove or rename one"
            )

    # ---- rows --------------------------------------------------------------------------------

    def _split(self, text: bytes) -> Iterator[PlainLines | pa.RecordBatch]:
        """Yields the rows of ``text`` and consumes it, all but a last row that goes on behind."""
        ends = find_line_ends(text)
        starts = np.concatenate(([0], ends[:-1]))
        is_plain = np.ones(len(ends), dtype=np.bool_)
        records: list[tuple[int, Record]] = []
        read = len(ends)
        if b'"' in text or b"\0" in text:
            position = 0
            for index in np.flatnonzero(self._dialect.find_odd_lines(text, starts, ends)).tolist():
                start = int(starts[index])
                if start < position:
                    continue  # a line inside of a quoted field
                try:
                    record = self._dialect.parse_record(text, start)
                except UnclosedQuote:
                    self._refuse_endless_row(start)
                    read = index
                    break
                position = record.end
                behind = int(np.searchsorted(ends, position)) + 1
                self._refuse_doubtful_end(record, index, behind)
                is_plain[index:behind] = False
                records.append((index, record))
        is_plain[read:] = False
        if records:
            yield self._parsed_rows(text, starts, records)
        if is_plain.any():
            yield self._plain_lines(text, starts, ends, is_plain)
        self._consume(int(ends[read - 1]) if read else 0, read)

    def _refuse_doubtful_end(self, record: Record, index: int, behind: int) -> None:
        """Refuses a malformed row that spans lines: which of them belong to it is a guess."""
        if record.is_malformed and behind - index > 1:
            first, last = self._line + index, self._line + behind - 1
            raise DropRefused(
                f"{self.name} line {first}: a quoted field that begins in this row ends in line "
                f"{last}, where text follows its closing quote. Close the quote where the field "
                "ends, or double it if it is part of the text"
            )

    def _parsed_rows(
        self, text: bytes, starts: Offsets, records: list[tuple[int, Record]]
    ) -> pa.RecordBatch:
        """A batch of rows whose fields were parsed here."""
        raw = [text[int(starts[index]) : record.end] for index, record in records]
        faults = ["malformed_quotes" if record.is_malformed else None for _, record in records]
        cells = [[field.decode() for field in record.fields] for _, record in records]
        columns = [
            [self._base + self._line + index for index, _ in records],
            [line.rstrip(b"\r\n").decode() for line in raw],
            cells,
            faults,
            [b"\0" in line for line in raw],
        ]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, ROWS, strict=True)]
        return pa.record_batch(arrays, schema=ROWS)

    def _plain_lines(
        self, text: bytes, starts: Offsets, ends: Offsets, is_plain: Flags
    ) -> PlainLines:
        """The plain ones of some lines, without their quotes and padding."""
        positions = self._base + self._line + np.flatnonzero(is_plain)
        plain = text
        if not is_plain.all() or b"\r" in plain:
            characters = np.frombuffer(plain, np.uint8).copy()
            characters[ends - 1] = ord("\n")  # before lines go: CR and LF of two must not meet
            plain = characters[np.repeat(is_plain, ends - starts)].tobytes().replace(b"\r", b"")
        if b'"' in plain:
            plain = plain.translate(None, b'"')
        plain = self._dialect.strip_padding(plain)
        plain_ends = ends if plain is text else find_line_ends(plain)
        return PlainLines(plain, plain_ends, positions)


def _encoding_hint(text: bytes, offset: int) -> str:
    if offset == 0 and text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ", as UTF-16 begins"
    if text[offset] >= 0xA0:
        return f", {text[offset : offset + 1].decode('latin-1')!r} in Latin-1"
    return ""
