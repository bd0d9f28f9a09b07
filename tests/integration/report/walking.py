"""Walks through the pages of a list."""

from collections.abc import Callable
from typing import Any

from experiment_features.report.paging import Cursor, Page


def walk(ask: Callable[[Cursor | None], Page], key: Callable[[dict[str, Any]], Any]) -> list[Any]:
    """Returns a list's keys, page by page; asserts that going back gives the same pages."""
    pages = [ask(None)]
    assert not pages[0].has_previous
    while pages[-1].has_next:
        pages.append(ask(Cursor(key(pages[-1].rows[-1]))))
        assert pages[-1].has_previous
        assert pages[-1].rows != pages[-2].rows
    for earlier, later in zip(reversed(pages[:-1]), reversed(pages[1:]), strict=True):
        back = ask(Cursor(key(later.rows[0]), backwards=True))
        assert (back.rows, back.has_next) == (earlier.rows, True)
        assert back.has_previous == (earlier is not pages[0])
    return [key(row) for page in pages for row in page.rows]
