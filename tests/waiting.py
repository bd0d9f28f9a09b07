"""Waits for what other processes do."""

import time
from collections.abc import Callable
from typing import Any


def wait_until(
    what: str, is_so: Callable[[], Any], seconds: float = 240, every: float = 0.2
) -> Any:
    """Ask again and again until the answer is not empty; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"waited {seconds} s until {what}"
        time.sleep(every)
    return answer
