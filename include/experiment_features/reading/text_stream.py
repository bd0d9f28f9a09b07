"""The text of one file of a drop, in whole lines, a block at a time; each byte passes once.

stored file -> hash -> decompress -> whole lines -> UTF-8
"""

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import pyarrow as pa

from experiment_features.drop.files import COMPRESSIONS
from experiment_features.errors import DropRefused
from experiment_features.reading.dialect import count_line_ends

BLOCK_BYTES = 2**20
RECORD_BYTES = 64 * 2**20
"""A row may be this long: more is a quote that was never closed, or no table at all."""

BOM = b"\xef\xbb\xbf"


class TextStream:
    """What of a file is fetched but not yet consumed; ``line`` is the line on which that begins."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Fetches the first bytes, and skips a byte order mark.

        Args:
            stream: the stored bytes, compressed if ``name`` ends in one of COMPRESSIONS.
            name: the file's name, for messages.
        """
        self.name = name
        self.line = 1
        self.is_last = False
        """Whether the file ends with what is fetched."""
        self.stored = HashingStream(stream)
        self._content = self.stored.sha256
        self._chunks = self._decompressed()
        self._pending = b""
        self._offset = 0  # where that begins, in bytes
        while len(self._pending) < len(BOM) and not self.is_last:
            self.fetch()
        if self._pending.startswith(BOM):
            self.consume(len(BOM), 0)

    @property
    def content_sha256(self) -> str:
        """The hash of what was read, decompressed."""
        return self._content.hexdigest()

    def fetch(self) -> None:
        """Appends the next block to what is pending, or ends the last line.

        As much again, if that is more: a row of many blocks is then looked at a few times only.
        """
        chunks = list(islice(self._chunks, max(1, len(self._pending) // BLOCK_BYTES)))
        if chunks:
            self._pending += b"".join(chunks)
        else:
            self.is_last = True
            if self._pending and not self._pending.endswith((b"\n", b"\r")):
                self._pending += b"\n"

    def whole_lines(self) -> bytes:
        """The pending lines that are complete, as checked UTF-8.

        A CR at the very end may be half of a CRLF, so its line waits.

        Raises:
            DropRefused: the bytes are not UTF-8, or a line has no end.
        """
        text = self._pending
        if not self.is_last:
            cut = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
            if cut == 0 and len(text) > RECORD_BYTES:
                raise DropRefused(
                    f"{self.name} line {self.line} has no end within {RECORD_BYTES} bytes: "
                    "expected a table of text lines"
                )
            text = text[:cut]
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.line + count_line_ends(text[: error.start])
            raise DropRefused(
                f"{self.name} is not UTF-8: byte 0x{text[error.start]:02x} at offset "
                f"{self._offset + error.start}, in line {line}"
                f"{_encoding_hint(text, error.start)}. Save the file as UTF-8"
            ) from None
        return text

    def consume(self, size: int, lines: int) -> None:
        """Drops so many bytes, which are so many lines, from what is pending."""
        self._pending = self._pending[size:]
        self._offset += size
        self.line += lines

    @property
    def consumed(self) -> int:
        """How many bytes of text are consumed."""
        return self._offset

    def refuse_endless_row(self, start: int) -> None:
        """Refuses the drop unless text that is yet to be fetched may close the quote.

        Args:
            start: where in the pending text the row begins that has the quote.

        Raises:
            DropRefused: the file ends without closing it, or the row is too long.
        """
        if self.is_last or len(self._pending) - start > RECORD_BYTES:
            line = self.line + count_line_ends(self._pending[:start])
            limit = "before the file's end" if self.is_last else f"within {RECORD_BYTES} bytes"
            raise DropRefused(
                f"{self.name} line {line}: a quoted field begins in this row and is not closed "
                f"{limit}. Close the quote, or double it if it is part of the text"
            )

    def _decompressed(self) -> Iterator[bytes]:
        name = self.name.lower()
        codec = next((c for end, c in COMPRESSIONS.items() if name.endswith(end)), None)
        stream = self.stored
        if codec:
            stream = pa.CompressedInputStream(pa.PythonFile(self.stored, mode="r"), codec)
            self._content = hashlib.sha256()
        try:
            while chunk := stream.read(BLOCK_BYTES):
                if codec:
                    self._content.update(chunk)
                yield chunk
        except OSError as error:
            if codec is None:
                raise
            raise DropRefused(
                f"{self.name} is a broken {codec} archive ({error}), noticed within its first "
                f"{self.stored.size} bytes: deliver the file again"
            ) from error


class HashingStream:
    """Counts and hashes what is read through it; as much of a file as pyarrow asks for.

    Read to its end, ``size`` and ``sha256`` are those of the file as it is stored.
    """

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
        """Leaves the file open: its opener closes it."""


def _encoding_hint(text: bytes, offset: int) -> str:
    if offset == 0 and text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ", as UTF-16 begins"
    if text[offset] >= 0xA0:
        return f", {text[offset : offset + 1].decode('latin-1')!r} in Latin-1"
    return ""
