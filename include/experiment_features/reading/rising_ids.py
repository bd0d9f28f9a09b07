"""Ids that rise from row to row: then no id is repeated, and no check is needed.

Plainly: nothing is known of any ids.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy.typing as npt


class Span(NamedTuple):
    """Rows of which each has a greater id than the one before."""

    first: int
    last: int


def span_of(ids: npt.NDArray[Any]) -> Span | None:
    """The span of some rows; None if their ids do not rise."""
    return Span(int(ids[0]), int(ids[-1])) if (ids[1:] > ids[:-1]).all() else None


def join_spans(spans: Sequence[Span | None]) -> Span | None:
    """The span of rows that follow one another; None if there are none, or it is not known."""
    known = [span for span in spans if span]
    if not known or len(known) < len(spans):
        return None
    rise = all(before.last < after.first for before, after in pairwise(known))
    return Span(known[0].first, known[-1].last) if rise else None
