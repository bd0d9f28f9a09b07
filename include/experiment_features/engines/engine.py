"""What rules and features are computed on: the same Narwhals expressions on every engine.

Frames are lazy, integers stay integers (nullable where they may be missing), and all engines give
the same rows.
"""

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import narwhals as nw
import pyarrow as pa

Frame = nw.LazyFrame[Any]


class Engine(Protocol):
    """Reads and writes frames, and does what Narwhals cannot express."""

    name: str

    @property
    def version(self) -> str:
        """The release of the library or cluster that computes."""

    def errors(self) -> AbstractContextManager[None]:
        """Within it, what the engine raises is one of the errors of errors.py."""
        return nullcontext()

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all in a folder."""

    def read_parts(self, parts: Sequence[Path], first: int = 1) -> Frame:
        """The rows of a table's parts, each with its position (contract.position_of).

        Args:
            parts: their files.
            first: the number of the first one.
        """

    def concat(self, frames: Sequence[Frame]) -> Frame:
        """The rows of frames that were read from parts of one table."""
        return nw.concat(frames)

    def write(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame, writes it to a Parquet file or, as Spark does, to a folder of them.

        Returns what is written. The path is there for whoever reads it without the engine.
        """

    def persist(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, however often the returned one is used; may use the path."""
        return self.write(frame, path)

    def batches(self, frame: Frame) -> Generator[pa.RecordBatch] | None:  # noqa: ARG002
        """The rows as they are computed, in any order; None if all would be in memory at once.

        From the first batch until the generator is closed, the engine can do nothing else.
        """
        return None

    def without(self, frame: Frame, others: Frame, key: str) -> Frame:
        """The rows of which the ``key`` is not among the others'. No key is NULL."""
        return frame.join(others.select(key), on=key, how="anti")

    def among(self, frame: Frame, others: Frame, key: str) -> Frame:
        """The rows of which the ``key`` is among the others'."""
        return frame.join(others.select(key), on=key, how="semi")

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending. All else is dropped."""
