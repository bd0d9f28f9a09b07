"""How much a test tries: all in CI, and less where somebody waits."""

import os
from typing import Any

import pytest


def cases(count: int) -> int:
    """So many random cases in CI, a quarter of them elsewhere. scripts/search.sh has more."""
    return count if os.environ.get("CI") == "true" else max(1, count // 4)


def first_or_all(first: Any, *others: Any) -> list[Any]:
    """Parameters of a test; only the first one elsewhere, if all cost the same and prove alike."""
    return [first, *left_to_ci(*others)]


def left_to_ci(*values: Any) -> list[Any]:
    """Parameters of a test that are tried in CI alone; those of pytest.param keep their ids."""
    made = (
        value
        if isinstance(value, _PARAM)
        else pytest.param(*(value if isinstance(value, tuple) else (value,)))
        for value in values
    )
    return [each._replace(marks=(*each.marks, pytest.mark.thorough)) for each in made]


_PARAM = type(pytest.param())
