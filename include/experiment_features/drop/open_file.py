"""One file of a drop: opened, hashed, and refused if it changes or cannot be read."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import (
    SHORTAGES,
    DropChanged,
    DropRefused,
    PipelineError,
    StorageUnavailable,
)
from experiment_features.visible_text import escape


def size_of(path: AnyPath) -> int:
    """The bytes of a listed file."""
    return path.stamp.size if path.stamp else 0


def hash_file(path: AnyPath) -> str:
    """The sha256 of a file's stored bytes.

    Raises:
        DropRefused, DropChanged: see opened.
    """
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def opened(path: AnyPath) -> Iterator[BufferedReader]:
    """Opens a file of a drop, and closes it when it is read.

    Raises:
        DropRefused: it cannot be opened, or not be read to its end.
        StorageUnavailable: the same, but the file is not to blame.
        DropChanged: it is no longer the file that was listed, or was written to meanwhile; this
            also replaces any error that the caller raises about its content.
    """
    try:
        with path.open() as stream:
            try:
                yield stream
            except (PipelineError, OSError) as error:
                if path.stamp_of(stream) != path.stamp:
                    raise files_changed(path.name) from error
                if isinstance(error, DropRefused):
                    error.file = escape(path.name)
                raise
            if path.stamp_of(stream) != path.stamp:
                raise files_changed(path.name)
    except FileNotFoundError as error:
        raise files_changed(path.name) from error
    except OSError as error:
        fault = f"{path.name} cannot be read ({error.strerror or error})"
        refuse_shortage(fault, error, path.name)
        raise DropRefused(f"{fault}: make the file readable", file=path.name) from error


def refuse_shortage(fault: str, error: OSError, file: str | None = None) -> None:
    """Raises StorageUnavailable if an error does not come from the file itself."""
    if error.errno in SHORTAGES:
        raise StorageUnavailable(f"{fault}: {SHORTAGES[error.errno]}", file=file) from error


def files_changed(names: str) -> DropChanged:
    """The error of a drop with files that were written, replaced, added or removed meanwhile."""
    return DropChanged(
        f"{names}: changed while being read. Nothing was loaded: run it again, as Airflow "
        "does by itself. "
        "Upload files to another folder first, and move them here once they are complete"
    )
