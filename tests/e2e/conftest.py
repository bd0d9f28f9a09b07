"""The one running stack of the end-to-end tests."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.local_stack import Stack, make_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The running stack that all end-to-end tests share; its start is what takes the time."""
    stack = make_stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(stack.folder)


@pytest.fixture(scope="session")
def loaded(stack: Stack) -> dict[str, Any]:
    """The result of the first run, over the sample drop."""
    return stack.trigger()
