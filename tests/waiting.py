"""Waits for other processes."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(
    what: str, is_so: Callable[[], Any], seconds: float = 240, every: float = 0.2
) -> Any:
    """Ask repeatedly until the answer is truthy; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"after {seconds} s, still waiting until {what}"
        time.sleep(every)
    return answer
