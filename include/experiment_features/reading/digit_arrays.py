"""Types lines in which every cell is spelled as its value prints: ``17,4,12;907,39.39``.

Nearly all lines of an experiments file are like that, and they are most of the work of reading a
drop, so they are typed a block at a time by NumPy, without a string for any cell. All other lines,
and files with columns of text, are typed in SQL (type_cells.py), to the same values: which lines
are typed here is only a matter of speed. Plainly: TYPED_HERE is empty.

A *token* is a run of digits, possibly empty, with the character after it, its *sign*: ``17,``
``4,`` ``12;`` ``907,`` ``39.`` and ``39`` with the line's end. Eight digits are read as one 64-bit
word, whose bytes are added up in pairs, then in fours, then all.

``np.repeat`` keeps all other threads waiting, as most of NumPy does not: it is used sparingly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from experiment_features.contract import Kind
from experiment_features.engines import arrow
from experiment_features.reading.dialect import Flags, Offsets

Words = npt.NDArray[np.uint64]

_MAX_DIGITS = 18  # any such number is a bigint
_MAX_WHOLE_DIGITS = 11
_MAX_DECIMALS = 3  # doubles of so few digits print as they were written
_SHORT_LIST = 4  # the items of longer ones are sorted to find repeats

_ZERO, _POINT, _SEMICOLON, _NEWLINE = b"0.;\n"
_WORD = 8

_U = np.uint64
_ZEROS = _U(0x3030303030303030)
_PAIRS = _U(0x000000FF000000FF)
_LAST_BYTES = np.array([~((1 << 8 * (_WORD - n)) - 1) & (2**64 - 1) for n in range(9)], np.uint64)
"""By how many of its digits belong to a number: the bytes of a word that do, which are its last."""


@dataclass(frozen=True)
class _Tokens:
    """The tokens of some lines, in order."""

    signs: npt.NDArray[np.uint8]
    lengths: Offsets
    values: Offsets
    is_plain: Flags
    """Whether the digits are a number as it prints: some, not too many, and no zero in front."""


class TypedLines(NamedTuple):
    """Some lines, typed where that could be done."""

    is_typed: Flags
    """Which of the lines are typed."""
    columns: list[pa.Array]
    """The values of the typed lines, for every kind that is not None."""
    keys: npt.NDArray[Any] | None
    """The key of every line, typed or not; None if one of them cannot be read here."""


def type_lines(text: bytes, delimiter: str, kinds: Sequence[Kind | None], key: int) -> TypedLines:
    """Types the lines that can be typed here.

    Args:
        text: lines without quotes and padding that end in LF.
        delimiter: the character between two cells.
        kinds: what each cell of a line holds, of TYPED_HERE; None for a cell that is not read.
        key: which of the cells is the key, an INTEGER.
    """
    tokens = _read_tokens(text)
    is_line_end = tokens.signs == _NEWLINE
    cell_ends = np.flatnonzero(is_line_end | (tokens.signs == ord(delimiter)))
    line_ends = np.flatnonzero(is_line_end[cell_ends])
    is_typed = np.diff(line_ends, prepend=-1) == len(kinds)
    cell_starts = np.concatenate(([0], cell_ends[:-1] + 1))
    first_cells = line_ends[is_typed] - (len(kinds) - 1)
    columns: dict[int, _Column | _ListColumn] = {}
    for cell, kind in enumerate(kinds):
        if kind is not None:
            cells = first_cells + cell
            columns[cell] = _READERS[kind](tokens, cell_starts[cells], cell_ends[cells])
    keys = columns[key]
    has_keys = bool(is_typed.all() and keys.is_good.all())
    is_good = np.logical_and.reduce([column.is_good for column in columns.values()])
    is_typed[is_typed] = is_good
    arrays = [column.array(is_good) for column in columns.values()]
    return TypedLines(is_typed, arrays, keys.values if has_keys else None)


def _read_tokens(text: bytes) -> _Tokens:
    # Zeros in front, so that there are words before the first digits, too.
    padded = np.frombuffer(b"0" * (3 * _WORD) + text, np.uint8)
    characters = padded[3 * _WORD :]
    ends = np.flatnonzero(characters - np.uint8(_ZERO) > 9)  # below zero they wrap around
    lengths = np.diff(ends, prepend=-1) - 1
    words: Words = np.ndarray(len(padded) - _WORD + 1, "<u8", padded, strides=(1,))
    values = _number(words[ends + 2 * _WORD], lengths)
    long = np.flatnonzero(lengths > _WORD)
    for before in (1, 2):
        digits = lengths[long] - before * _WORD
        more = _number(words[ends[long] + (2 - before) * _WORD], digits)
        values[long] += more * 10 ** (before * _WORD)  # may wrap, where there are too many digits
        long = long[digits > _WORD]
    has_zero_in_front = characters[ends - lengths] == _ZERO
    is_plain = (lengths > 0) & (lengths <= _MAX_DIGITS) & ~(has_zero_in_front & (lengths > 1))
    return _Tokens(characters[ends], lengths, values, is_plain)


def _number(words: Words, digits: Offsets) -> Offsets:
    """The number that the last so many digits of each word are, at most eight."""
    word = (words ^ _ZEROS) & _LAST_BYTES[np.minimum(digits, _WORD)]
    # Of every two bytes one number, then of four of these, in the upper half of the word.
    word = word * _U(10) + (word >> _U(8))
    odd = (word & _PAIRS) * _U(100 + (1_000_000 << 32))
    even = ((word >> _U(16)) & _PAIRS) * _U(1 + (10_000 << 32))
    return ((odd + even) >> _U(32)).view(np.int64)


def _read_integers(tokens: _Tokens, starts: Offsets, ends: Offsets) -> "_Column":
    """Cells of one token."""
    is_good = (starts == ends) & tokens.is_plain[ends]
    return _Column(is_good, tokens.values[ends])


def _read_numbers(tokens: _Tokens, starts: Offsets, ends: Offsets) -> "_Column":
    """Cells of one token, or of two around a point, or empty ones."""
    whole, decimals = tokens.values[starts], tokens.values[ends]
    digits = tokens.lengths[ends]
    is_whole = tokens.is_plain[starts] & (tokens.lengths[starts] <= _MAX_WHOLE_DIGITS)
    has_decimals = (ends - starts == 1) & (tokens.signs[starts] == _POINT)
    has_decimals &= (digits > 0) & (digits <= _MAX_DECIMALS) & (decimals % 10 != 0)
    is_empty = (starts == ends) & (digits == 0)
    is_good = is_empty | (is_whole & ((starts == ends) | has_decimals))
    # Quotients of whole numbers below 2^53: the doubles nearest to what is written.
    scale = 10 ** np.where(has_decimals, digits, 0)
    return _Column(is_good, (whole * scale + np.where(has_decimals, decimals, 0)) / scale, is_empty)


def _read_lists(tokens: _Tokens, starts: Offsets, ends: Offsets) -> "_ListColumn":
    """Cells of tokens between single semicolons, without repeats."""
    counts = ends - starts + 1
    offsets = _offsets(counts)
    lists = np.repeat(np.arange(len(counts)), counts)
    items = np.arange(offsets[-1]) + (starts - offsets[:-1])[lists]
    is_last = np.zeros(len(items), np.bool_)
    is_last[offsets[1:] - 1] = True
    is_item = tokens.is_plain[items] & (is_last | (tokens.signs[items] == _SEMICOLON))
    values = tokens.values[items]
    is_good = ~_has_repeats(values, lists, counts)
    is_good[lists[~is_item]] = False
    return _ListColumn(is_good, values, counts)


def _has_repeats(values: Offsets, lists: Offsets, counts: Offsets) -> Flags:
    """Which lists, of so many items each, hold a value twice."""
    has_repeats = np.zeros(len(counts), np.bool_)
    for distance in range(1, _SHORT_LIST):
        is_again = values[distance:] == values[:-distance]
        is_again &= lists[distance:] == lists[:-distance]
        has_repeats[lists[distance:][is_again]] = True
    if (counts > _SHORT_LIST).any():
        is_long = np.repeat(counts > _SHORT_LIST, counts)
        order = np.lexsort((values[is_long], lists[is_long]))
        values_sorted, lists_sorted = values[is_long][order], lists[is_long][order]
        is_again = (np.diff(values_sorted) == 0) & (np.diff(lists_sorted) == 0)
        has_repeats[lists_sorted[1:][is_again]] = True
    return has_repeats


def _offsets(counts: Offsets) -> Offsets:
    """Where lists of so many items begin, one after the other, and where the last one ends."""
    return np.concatenate(([0], np.cumsum(counts)))


@dataclass(frozen=True)
class _Column:
    """The cells of a column; those that are not good have any value."""

    is_good: Flags
    values: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    is_null: Flags | None = None

    def array(self, is_selected: Flags) -> pa.Array:
        """The values of the selected cells."""
        is_null = None if self.is_null is None else self.is_null[is_selected]
        return arrow.array(self.values[is_selected], is_null)


@dataclass(frozen=True)
class _ListColumn:
    """The cells of a column of lists; those that are not good have any items."""

    is_good: Flags
    values: Offsets
    """The items of all lists, one after the other."""
    counts: Offsets

    def array(self, is_selected: Flags) -> pa.Array:
        """The lists of the selected cells."""
        offsets = _offsets(self.counts[is_selected]).astype(np.int32)
        values = self.values
        if not is_selected.all():
            values = values[np.repeat(is_selected, self.counts)]
        return pa.ListArray.from_arrays(arrow.array(offsets), arrow.array(values))


_READERS: dict[Kind, Callable[[_Tokens, Offsets, Offsets], _Column | _ListColumn]] = {
    Kind.INTEGER: _read_integers,
    Kind.NUMBER: _read_numbers,
    Kind.INTEGERS: _read_lists,
}

TYPED_HERE = frozenset(_READERS)
"""The kinds that are; a file is typed here when its columns are of no others."""
