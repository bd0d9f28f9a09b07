"""The temporary folder of a command-line run, and the removal of those that killed runs left."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from experiment_features.errors import WorkspaceUnavailable
from experiment_features.places import require_usable_folder

_PREFIX = "experiment_features_"

_LOCK = ".lock"
"""The file in the folder that its process keeps locked: the lock ends with the process."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Creates a folder, and removes it in the end.

    Raises:
        WorkspaceUnavailable: it cannot be created.
        ConfigurationError: it has a name that cannot be used.
    """
    try:
        _remove_left_folders(Path(tempfile.gettempdir()))
        temporary = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        lock = _lock(Path(temporary.name))
    except OSError as error:
        raise WorkspaceUnavailable(
            f"cannot create a temporary folder ({error}): free disk space, or set TMPDIR"
        ) from error
    with temporary as name, lock:
        try:
            require_usable_folder(f"the temporary folder {name}", name, "set TMPDIR to another")
            yield Path(name)
        finally:
            with suppress(OSError):  # it has been removed; what stays, a later command removes
                _empty(Path(name))


def _lock(folder: Path) -> TextIO:
    """Takes the lock; the file gets its name only then, so that nobody else can be faster."""
    draft = folder / "unlocked"
    file = draft.open("w")
    with suppress(OSError):  # some network shares have no locks; the folder may then be left
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft.rename(folder / _LOCK)
    return file


def _remove_left_folders(place: Path) -> None:
    """Removes this user's folders whose processes have ended."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another user's, one that is in use, or removed meanwhile
            if folder.lstat().st_uid != os.geteuid():
                continue
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _empty(folder)
                shutil.rmtree(folder)
            finally:
                os.close(descriptor)


def _empty(folder: Path) -> None:
    """Removes all but the lock: without it, the rest would stay if this were cut short."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
