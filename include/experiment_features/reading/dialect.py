"""How text is split into rows and fields: the part of reading that keeps no state.

LF, CRLF and CR each end a line. A delimiter may have padding around it: blanks and tabs, or blanks
only where the tab is the delimiter. A field may be quoted, within its padding; a quote inside of it
is doubled, and delimiters and line ends inside of it are content (RFC 4180, with padding added).
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

DELIMITERS = (b",", b";", b"|", b"\t")
"""The tab last: where a header reads the same under two, the tab is the other one's padding."""

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class UnclosedQuote(Exception):
    """A quoted field does not end within the text at hand."""


@dataclass(frozen=True)
class Record:
    """One row taken apart; ``end`` is where the next begins."""

    fields: list[bytes]
    end: int
    is_malformed: bool
    """Text follows a closing quote."""


@dataclass(frozen=True)
class Dialect:
    """How fields are separated once the delimiter is known."""

    delimiter: bytes

    @property
    def padding(self) -> bytes:
        """The characters that mean nothing around a field."""
        return b" " if self.delimiter == b"\t" else b" \t"

    def parse_record(self, text: bytes, start: int) -> Record:
        """Takes the row apart that begins at ``start``.

        Args:
            text: whole lines, at least the one that begins at ``start``.
            start: an offset in ``text``.

        Raises:
            UnclosedQuote: the row goes on after ``text``, or its quote is never closed.
        """
        fields: list[bytes] = []
        is_malformed = False
        while True:
            quoted = self._quoted_field.match(text, start)
            if quoted:
                value = quoted[1].replace(b'""', b'"').strip(b" \t")
                start = self._end_of_bare_text(text, quoted.end())
                is_malformed |= start > quoted.end()
            else:
                end = self._end_of_bare_text(text, start)
                value = text[start:end].strip(self.padding)
                if value.startswith(b'"'):
                    raise UnclosedQuote
                start = end
            fields.append(value)
            if text[start : start + 1] != self.delimiter:
                end = start + (2 if text[start : start + 2] == b"\r\n" else 1)
                return Record(fields, end, is_malformed)
            start += 1

    def strip_padding(self, text: bytes) -> bytes:
        """Removes the padding from lines without quotes that end in LF."""
        if not any(self.padding[i : i + 1] in text for i in range(len(self.padding))):
            return text
        characters = np.frombuffer(text, np.uint8)
        is_pad = np.logical_or.reduce([characters == pad for pad in self.padding])
        is_edge = (characters == ord(self.delimiter)) | (characters == ord("\n"))
        is_beside_edge = np.ones(len(characters), dtype=np.bool_)
        is_beside_edge[1:] = is_edge[:-1]
        is_beside_edge[:-1] |= is_edge[1:]
        if not (is_pad & ~is_beside_edge).any():  # as in lines of numbers, all of it
            return text.translate(None, self.padding)
        pads = np.flatnonzero(is_pad)
        is_first = np.diff(pads, prepend=-2) > 1  # of a run of padding
        is_last = np.append(is_first[1:], True)
        firsts, lasts = pads[is_first], pads[is_last]
        is_around_field = is_edge[firsts - 1] | (firsts == 0) | is_edge[lasts + 1]
        is_kept = np.ones(len(characters), dtype=np.bool_)
        is_kept[pads[is_around_field[np.cumsum(is_first) - 1]]] = False
        return characters[is_kept].tobytes()

    def find_bare_lines(self, text: bytes, starts: Offsets, ends: Offsets) -> list[int]:
        """Which lines hold delimiters, with or without padding, and nothing else."""
        characters = np.frombuffer(text, np.uint8)
        bare = self.delimiter + b" \t"
        # Few lines begin with any of these, and still fewer end with one, too.
        firsts = characters[starts]
        may_be = np.flatnonzero(np.logical_or.reduce([firsts == sign for sign in bare]))
        lasts = characters[ends[may_be] - 2]
        may_be = may_be[np.isin(lasts, list(bare + b"\r"))]
        lines = ((i, text[starts[i] : ends[i]]) for i in may_be.tolist())
        return [i for i, line in lines if self.delimiter in line and not line.strip(bare + b"\r\n")]

    def find_odd_lines(self, text: bytes, starts: Offsets, ends: Offsets) -> Flags:
        """Which lines are not plain: they hold a NUL, or a quote that does more than enclose.

        Quotes only enclose in pairs on one line: the first right after the line's start or a
        delimiter (one character of padding between them), the second right before a delimiter or
        the line's end, no delimiter in between. Without its quotes such a line reads the same, but
        for a lone field: an empty one would leave an empty line, which is no row.
        """
        characters = np.frombuffer(text, np.uint8)
        is_odd = np.zeros(len(ends), dtype=np.bool_)
        if self._has_all_in_quotes(text, starts):
            return is_odd
        if b"\0" in text:
            is_odd[np.searchsorted(ends, np.flatnonzero(characters == 0), side="right")] = True
        quotes = np.flatnonzero(characters == ord('"'))
        lines = np.searchsorted(ends, quotes, side="right")
        is_odd |= np.bincount(lines, minlength=len(ends)) % 2 == 1
        is_paired = ~is_odd[lines]
        quotes, lines = quotes[is_paired], lines[is_paired]
        opening, closing, lines = quotes[::2], quotes[1::2], lines[::2]

        delimiter = ord(self.delimiter)
        before = characters[opening - 1]  # at the text's start: any character, and not looked at
        is_padded = np.isin(before, list(self.padding)) & (opening > starts[lines] + 1)
        is_padded &= characters[opening - 2] == delimiter
        opens = (opening == starts[lines]) | (before == delimiter) | is_padded
        after = characters[closing + 1]  # every line has an end, so there is one
        closes = np.isin(after, [delimiter, ord("\n"), ord("\r")])
        delimiters = np.flatnonzero(characters == delimiter)
        encloses = np.searchsorted(delimiters, opening) == np.searchsorted(delimiters, closing)
        is_lone = (opening == starts[lines]) & (after != delimiter)
        is_odd[lines[~(opens & closes & encloses) | is_lone]] = True
        return is_odd

    def _has_all_in_quotes(self, text: bytes, starts: Offsets) -> bool:
        """Whether every field is quoted, with no quote in it, and every line has several fields."""
        fields = text.count(self.delimiter) + len(starts)
        if not text.startswith(b'"') or text.count(b'"') != 2 * fields or b"\0" in text:
            return False
        characters = np.frombuffer(text, np.uint8)
        is_quote, is_delimiter = characters == ord('"'), characters == ord(self.delimiter)
        is_edge = is_delimiter | (characters == ord("\n")) | (characters == ord("\r"))
        opens = is_quote.copy()
        opens[1:] &= is_edge[:-1]
        closes = is_quote[:-1] & is_edge[1:]
        return bool(
            np.array_equal(opens[:-1] ^ closes, is_quote[:-1])
            and np.logical_or.reduceat(is_delimiter, starts).all()
        )

    def _end_of_bare_text(self, text: bytes, start: int) -> int:
        """The offset of the next delimiter or line end."""
        bare = self._bare_text.match(text, start)
        return bare.end() if bare else start

    @cached_property
    def _quoted_field(self) -> re.Pattern[bytes]:
        pad = b"[" + self.padding + b"]*"
        return re.compile(pad + rb'"((?:[^"]++|"")*+)"' + pad)

    @cached_property
    def _bare_text(self) -> re.Pattern[bytes]:
        return re.compile(b"[^\r\n" + re.escape(self.delimiter) + b"]*")


def find_line_ends(text: bytes) -> Offsets:
    """The offsets after every line end of a text that ends with one."""
    characters = np.frombuffer(text, np.uint8)
    is_end = characters == ord("\n")
    if b"\r" in text:
        is_lone_cr = characters == ord("\r")
        is_lone_cr[:-1] &= ~is_end[1:]
        is_end |= is_lone_cr
    return np.flatnonzero(is_end) + 1


def count_line_ends(text: bytes) -> int:
    """How many lines end in the text."""
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")
