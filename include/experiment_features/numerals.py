"""Types lines of which every cell is spelled as its value prints: ``17,4,12;907,39.39``.

Nearly all lines of an experiments file are such, and they are most of the work of reading a large
drop, so compiled code (Numba) types them, without a string for any cell. All other lines, and the
other tables, are typed in ``sql/``, to the same values: which lines are typed here is only a matter
of speed. Compiling takes a second or two, so convert.py asks for it with large files only.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from experiment_features.contract import Kind
from experiment_features.dialect import Flags, Offsets

Function = TypeVar("Function", bound=Callable[..., object])

_INTEGER, _INTEGERS, _NUMBER, _UNASKED = range(4)
_CODES = {Kind.INTEGER: _INTEGER, Kind.INTEGERS: _INTEGERS, Kind.NUMBER: _NUMBER, None: _UNASKED}

_MAX_DIGITS = 18  # any such number is a bigint
_MAX_WHOLE_DIGITS = 11
_MAX_DECIMALS = 3  # doubles of so few digits print as they were written

_MAX_ITEMS = 64  # of a list; each is compared with all others

_ZERO, _POINT, _SEMICOLON = b"0.;"


def _compiled(function: Function) -> Function:
    """Compiles the function when it is first called, unless it is in Numba's cache.

    The cache is beside this file, or in the user's folder for caches, or in NUMBA_CACHE_DIR; where
    none of them can be written, there is none.
    """
    try:
        return cast("Function", njit(nogil=True, cache=True)(function))
    except RuntimeError:  # "no locator available"
        return cast("Function", njit(nogil=True)(function))


def type_lines(
    text: bytes, ends: Offsets, delimiter: str, kinds: Sequence[Kind | None]
) -> tuple[Flags, list[pa.Array]]:
    """Types the lines that can be typed here.

    Args:
        text: lines without quotes and padding that end in LF.
        ends: the offsets behind their ends.
        delimiter: the character between two cells.
        kinds: what each cell of a line holds: INTEGER, NUMBER, INTEGERS (at most once), or None
            where nobody asks.

    Returns:
        Which of the lines were typed; and for every kind that is not None the values of these.
    """
    shape = (len(kinds), len(ends))
    is_typed = np.zeros(len(ends), np.bool_)
    integers = np.empty(shape, np.int64)  # of cell and typed line
    numbers = np.empty(shape, np.float64)
    is_empty = np.empty(shape, np.bool_)
    items = np.empty(len(text) // 2 + 1, np.int64)  # of the lists, one list after the other
    offsets = np.zeros(len(ends) + 1, np.int32)  # where each list begins in them
    rows = _type(
        np.frombuffer(text, np.uint8),
        ends,
        ord(delimiter),
        np.array([_CODES[kind] for kind in kinds]),
        is_typed,
        integers,
        numbers,
        is_empty,
        items,
        offsets,
    )
    arrays: list[pa.Array] = []
    for cell, kind in enumerate(kinds):
        if kind is Kind.INTEGER:
            arrays.append(pa.array(integers[cell, :rows]))
        elif kind is Kind.NUMBER:
            arrays.append(pa.array(numbers[cell, :rows], mask=is_empty[cell, :rows]))
        elif kind is Kind.INTEGERS:
            arrays.append(pa.ListArray.from_arrays(offsets[: rows + 1], items[: offsets[rows]]))
    return is_typed, arrays


@_compiled
def _type(
    text: npt.NDArray[np.uint8],
    ends: Offsets,
    delimiter: int,
    codes: Offsets,
    is_typed: Flags,
    integers: Offsets,
    numbers: npt.NDArray[np.float64],
    is_empty: Flags,
    items: Offsets,
    offsets: npt.NDArray[np.int32],
) -> int:
    """Fills the arrays from ``is_typed`` on; returns how many lines were typed."""
    width = len(codes)
    row = 0
    line_start = 0
    for line in range(len(ends)):
        line_end = ends[line] - 1
        start = line_start
        line_start = ends[line]
        offset = offsets[row]
        is_good = True
        for cell in range(width):
            end = start
            while end < line_end and text[end] != delimiter:
                end += 1
            if codes[cell] == _INTEGER:
                value = _whole_number(text, start, end, _MAX_DIGITS)
                integers[cell, row] = value
                is_good = value >= 0
            elif codes[cell] == _NUMBER:
                number = _number(text, start, end)
                numbers[cell, row] = number
                is_empty[cell, row] = start == end
                is_good = start == end or number >= 0
            elif codes[cell] == _INTEGERS:
                offset = _read_items(text, start, end, items, offsets[row])
                is_good = offset >= 0
            is_good = is_good and (end == line_end) == (cell == width - 1)
            if not is_good:
                break
            start = end + 1
        if is_good:
            is_typed[line] = True
            row += 1
            offsets[row] = offset
    return row


@_compiled
def _whole_number(text: npt.NDArray[np.uint8], start: int, end: int, max_digits: int) -> int:
    """The number from start to end; -1 unless it is digits only, without zeros in front."""
    if start == end or end - start > max_digits or (text[start] == _ZERO and end - start > 1):
        return -1
    value = 0
    for position in range(start, end):
        digit = int(text[position]) - _ZERO
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@_compiled
def _number(text: npt.NDArray[np.uint8], start: int, end: int) -> float:
    """The number from start to end; -1 unless it has few digits, and no decimal too many."""
    whole_end = start
    while whole_end < end and text[whole_end] != _POINT:
        whole_end += 1
    value = _whole_number(text, start, whole_end, _MAX_WHOLE_DIGITS)
    if value < 0 or whole_end == end:
        return float(value)
    if end - whole_end > _MAX_DECIMALS + 1 or text[end - 1] == _ZERO or whole_end + 1 == end:
        return -1.0
    scale = 1
    for position in range(whole_end + 1, end):
        digit = int(text[position]) - _ZERO
        if digit < 0 or digit > 9:
            return -1.0
        value = value * 10 + digit
        scale *= 10
    return value / scale  # of whole numbers below 2^53: the double nearest to what is written


@_compiled
def _read_items(
    text: npt.NDArray[np.uint8], start: int, end: int, items: Offsets, offset: int
) -> int:
    """Puts the items of a list into ``items``; returns the offset behind them.

    -1 unless they are numbers between single semicolons, none of them twice.
    """
    first = offset
    while True:
        item_end = start
        while item_end < end and text[item_end] != _SEMICOLON:
            item_end += 1
        value = _whole_number(text, start, item_end, _MAX_DIGITS)
        if value < 0 or offset - first == _MAX_ITEMS:
            return -1
        for other in range(first, offset):
            if items[other] == value:
                return -1
        items[offset] = value
        offset += 1
        if item_end == end:
            return offset
        start = item_end + 1
