"""What runs in threads beside the one that reads: typing and writing.

Plainly: ``map`` in place of run_ahead, ``pq.ParquetWriter`` in place of BackgroundWriter.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from experiment_features.errors import SHORTAGES, StorageUnavailable
from experiment_features.workspace import reason_of

TYPING_THREADS = min(4, os.cpu_count() or 1)
"""One thread reads and one writes beside them, so more would only wait."""

_BATCHES_BEHIND = 2
"""So many may wait to be written; memory does not grow with the file."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def run_ahead(
    call: Callable[[Argument], Result], arguments: Iterable[Argument]
) -> Iterator[Result]:
    """Yields what the call returns for each argument, in their order; some calls run ahead."""
    with ThreadPoolExecutor(TYPING_THREADS) as threads:
        running: deque[Future[Result]] = deque()
        for argument in arguments:
            running.append(threads.submit(call, argument))
            if len(running) > TYPING_THREADS:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


class BackgroundWriter:
    """Writes batches to a Parquet file, which is made with the first of them."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self._path = path
        self._file: pq.ParquetWriter | None = None
        self._thread = ThreadPoolExecutor(1)
        self._lock = Lock()
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, error: type[BaseException] | None, *_rest: object) -> None:
        """Finishes the file, unless an error has ended the work, which the caller hears of."""
        try:
            self._thread.shutdown()
            if error is None:
                with writing(self._path):
                    self._wait(0)
        except BaseException:
            self._discard()
            raise
        if error is None:
            with writing(self._path):
                self._close()
        else:
            self._discard()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return self._file is None

    def _close(self) -> None:
        # The executor does not wait for a thread that was interrupted while it started, and PyArrow
        # crashes when a file is closed while it is written.
        with self._lock:
            if self._file:
                self._file.close()

    def _append(self, file: pq.ParquetWriter, rows: pa.RecordBatch) -> None:
        with self._lock:
            if file.is_open:
                file.write_batch(rows)

    def _discard(self) -> None:
        """Closes the file of which nothing is expected any more."""
        with suppress(OSError, pa.ArrowException):  # it would hide the first error
            self._close()

    def write(self, rows: pa.RecordBatch) -> None:
        """Appends rows of the schema."""
        with writing(self._path):
            if self._file is None:
                # Dictionaries cost more time than they save.
                packed = dict.fromkeys(_whole_numbers(self.schema), "DELTA_BINARY_PACKED")
                self._file = pq.ParquetWriter(
                    self._path,
                    self.schema,
                    compression="lz4",
                    use_dictionary=False,
                    column_encoding=packed,
                )
            self._pending.append(self._thread.submit(self._append, self._file, rows))
            self._wait(_BATCHES_BEHIND)

    def _wait(self, behind: int) -> None:
        """Until at most so many batches are not written yet."""
        while len(self._pending) > behind:
            self._pending.popleft().result()


@contextmanager
def writing(path: Path, kind: type[Exception] = OSError) -> Iterator[None]:
    """Says that a part cannot be written, if that raises an error of this kind.

    Raises:
        StorageUnavailable: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except kind as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        remedy = SHORTAGES.get(getattr(error, "errno", None) or 0, SHORTAGES[errno.ENOSPC])
        raise StorageUnavailable(
            f"the part {path} cannot be written ({reason}): {remedy}, or remove parts that only "
            "older runs need (`store prune`)"
        ) from error


def _whole_numbers(schema: pa.Schema) -> list[str]:
    """The columns of whole numbers, and of lists of them, by their names in Parquet."""
    types = {field.name: field.type for field in schema}
    types |= {
        f"{name}.list.element": kind.value_type
        for name, kind in types.items()
        if pa.types.is_list(kind)
    }
    return [name for name, kind in types.items() if pa.types.is_int64(kind)]
