"""Ids that rise from row to row: then none is there twice, and nobody has to look for it.

Plainly: nothing is known of any file's ids.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy.typing as npt


class Span(NamedTuple):
    """The ids of a file whose every row has a greater one than the row before."""

    first: int
    last: int


class RisingIds:
    """Whether the ids of a file rise from each row to the next."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last = -1  # digit_arrays.py reads no sign
        self._rise = True

    def note(self, ids: npt.NDArray[Any] | None) -> None:
        """Takes the ids of the next rows, which are some; None if they are not known."""
        if ids is None or ids[0] <= self._last or not (ids[1:] > ids[:-1]).all():
            self._rise = False
            return
        if self._first is None:
            self._first = int(ids[0])
        self._last = int(ids[-1])

    @property
    def span(self) -> Span | None:
        """The first id and the last one, if there are any and they rise."""
        return Span(self._first, self._last) if self._rise and self._first is not None else None


def rise_throughout(spans: Sequence[Span | None]) -> bool:
    """Whether the ids rise through all files of a table, taken in their order."""
    known = [span for span in spans if span]
    is_known = len(known) == len(spans)
    return is_known and all(before.last < after.first for before, after in pairwise(known))
