"""Calls that run ahead in threads, beside the one who waits for what they return.

Plainly: ``map(call, arguments)``.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

THREADS = min(4, os.cpu_count() or 1)
"""One thread reads and one writes beside them, so more would only wait."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def run_ahead(
    call: Callable[[Argument], Result], arguments: Iterable[Argument]
) -> Iterator[Result]:
    """Yields what the call returns for each argument, in their order.

    No more than THREADS results wait to be taken, so that memory does not grow with their number.
    """
    with ThreadPoolExecutor(THREADS) as threads:
        running: deque[Future[Result]] = deque()
        for argument in arguments:
            running.append(threads.submit(call, argument))
            if len(running) > THREADS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
