"""The text of one file of a drop, in whole lines, a block at a time; each byte passes once.

stored file -> hash -> decompress -> whole lines -> UTF-8
"""

import hashlib
import re
from itertools import islice
from typing import BinaryIO

from experiment_features.errors import DropRefused
from experiment_features.reading.dialect import count_line_ends
from experiment_features.reading.foreign_files import ARCHIVES, SIGNATURE_BYTES, recognise_bytes
from experiment_features.reading.stored_bytes import HashingStream, codec_of, decompressed

BLOCK_BYTES = 2**20
RECORD_BYTES = 64 * 2**20
"""A row may be this long: more is a quote that was never closed, or no table at all."""

HOLE_BYTES = 512
"""So many NUL bytes in a row are no text but a hole: the smallest block of a disk or tape."""

BOM = b"\xef\xbb\xbf"


class TextStream:
    """What of a file is fetched but not yet consumed; ``line`` is the line on which that begins."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """Fetches the first bytes, and skips a byte order mark.

        Args:
            stream: the stored bytes, compressed if ``name`` ends in one of COMPRESSIONS.
            name: the file's name, for messages.

        Raises:
            DropRefused: the archive is broken, or what the file holds is another kind of file.
        """
        self.name = name
        self.line = 1
        self.is_last = False
        """Whether the file ends with what is fetched."""
        self._lacks_newline = False
        self.stored = HashingStream(stream)
        self._content = hashlib.sha256() if codec_of(name) else self.stored.sha256
        self._chunks = decompressed(self.stored, name, BLOCK_BYTES)
        self._pending = b""
        self._offset = 0  # where that begins, in bytes
        while len(self._pending) < SIGNATURE_BYTES and not self.is_last:
            self.fetch()
        if kind := recognise_bytes(self._pending):
            if codec_of(name) and kind.kind in ARCHIVES:
                raise DropRefused(
                    f"{name} holds {kind.kind}: it is compressed twice. Unpack it once, and keep "
                    "its name"
                )
            raise DropRefused(f"{name} holds {kind}")
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
            if self._content is not self.stored.sha256:
                for chunk in chunks:
                    self._content.update(chunk)
        else:
            self.is_last = True
            if self._pending and not self._pending.endswith((b"\n", b"\r")):
                self._pending += b"\n"
                self._lacks_newline = True

    def whole_lines(self) -> bytes:
        """The pending lines that are complete, as checked UTF-8.

        A CR at the very end may be half of a CRLF, so its line waits.

        Raises:
            DropRefused: the bytes are not UTF-8, some are missing, or a line has no end.
        """
        text = self._pending
        if not self.is_last:
            cut = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
            if cut == 0 and len(text) > RECORD_BYTES:
                self._refuse_hole(text)
                raise DropRefused(
                    f"{self.name} line {self.line} has no end within {RECORD_BYTES} bytes: "
                    "expected a table of text lines",
                    line=self.line,
                )
            text = text[:cut]
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = self.line + count_line_ends(text[: error.start])
            raise DropRefused(
                f"{self.name} is not UTF-8: byte 0x{text[error.start]:02x} at offset "
                f"{self._offset + error.start}, in line {line}"
                f"{self._explain_byte(text, error.start)}",
                line=line,
            ) from None
        self._refuse_hole(text)
        return text

    def _refuse_hole(self, text: bytes) -> None:
        """Refuses a file of which a block was never written; rows may be missing with it."""
        at = text.find(bytes(HOLE_BYTES))
        if at >= 0:
            line = self.line + count_line_ends(text[:at])
            raise DropRefused(
                f"{self.name} line {line}: from offset {self._offset + at} on, there are at least "
                f"{HOLE_BYTES} NUL bytes, as in a file that was not transferred completely. "
                "Deliver the file again; if nothing is missing, remove them",
                line=line,
            )

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
            first_line = self._pending[start : self._pending.find(b"\n", start)]
            limit = "before the file's end" if self.is_last else f"within {RECORD_BYTES} bytes"
            raise DropRefused(
                f"{self.name} line {line}: a quoted field begins in this row and is not closed "
                f"{limit}. Close the quote, or double it if it is part of the text"
                f"{explain_backslash(first_line)}",
                line=line,
            )

    def _explain_byte(self, text: bytes, at: int) -> str:
        """What the byte that is not UTF-8 may be, and what to do."""
        save = ". Save the file as UTF-8"
        if at == 0 and text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return f", the start of a UTF-16 file{save}"
        if _SURROGATE.match(text, at):
            return f", half of a character, as in CESU-8{save}"
        is_utf8 = not text[:at].isascii()  # before it, characters of several bytes were read
        is_cut = (_HALF_CHARACTER if is_utf8 else _HALF_OR_CONTROL).match(text, at)
        if is_cut or (self._lacks_newline and _LAST_CHARACTER.match(text, at)):
            return ", in a character that is cut off. Deliver the file again, with whole characters"
        if text[at] < 0xA0:
            return save
        cut = "in a character that is cut off, or " if is_utf8 else ""
        return f", {cut}{text[at : at + 1].decode('latin-1')!r} in Latin-1{save}"


def explain_backslash(row: bytes) -> str:
    """An explanation for a row with broken quotes, if a backslash was meant to escape one."""
    return r": a backslash before it (\") does not escape it" if b'\\"' in row else ""


_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_HALF_CHARACTER = re.compile(rb"[\xe0-\xf4][\x80-\xbf]")
_HALF_OR_CONTROL = re.compile(rb"[\xe0-\xf4][\x80-\x9f]")
"""Read as Latin-1, the second byte is a control character, which text does not contain."""
_LAST_CHARACTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]*\n\Z")
