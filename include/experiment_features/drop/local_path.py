"""Folders and files on this machine, opened so that no link leads out of the allowed roots."""

import errno
import fcntl
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from experiment_features.errors import SHORTAGES, ConfigurationError, DropRefused

FILE = "a file"

_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


class Stamp(NamedTuple):
    """Identifies an entry of a folder; changes when a file is written to or replaced."""

    kind: str
    """FILE, or what it is instead."""

    size: int = 0
    version: tuple[object, ...] = ()


@dataclass(frozen=True)
class LocalPath:
    """A folder or file on this machine, with the interface of object_storage.StoredPath.

    A name may lead elsewhere by the time it is opened, so the location and the type are those of
    the open file or folder.
    """

    path: Path
    roots: Sequence[Path] | None = None
    """Where it must lie, links followed; None allows any place."""

    stamp: Stamp | None = None
    """As its folder was listed, if it was."""

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    def as_uri(self) -> str:
        """The path as a ``file://`` URI."""
        return self.path.as_uri()

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.path.is_dir()

    def entries(self) -> list["LocalPath"]:
        """What lies in the folder, each with its stamp, in the order of their names."""
        with self._descriptor(os.O_DIRECTORY) as folder:
            return [
                replace(self, path=self.path / name, stamp=_look_at(name, folder))
                for name in sorted(os.listdir(folder))  # noqa: PTH208
            ]

    def open(self) -> io.BufferedReader:
        """Opens the file; anything but a regular file is refused, because it might block."""
        with self._descriptor() as descriptor:
            kind = _stamp(os.fstat(descriptor)).kind
            if kind != FILE:
                raise DropRefused(f"{self.path} is {kind}: put a regular file there")
            return io.BufferedReader(_Unblocked(os.dup(descriptor)))

    def stamp_of(self, stream: io.BufferedReader) -> Stamp:
        """The stamp of the opened file, as it is now."""
        return _stamp(os.fstat(stream.fileno()))

    @contextmanager
    def _descriptor(self, flags: int = 0) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | flags)
        try:
            if self.roots is not None:
                place = _place_of(descriptor)
                if not any(place.is_relative_to(root) for root in self.roots):
                    raise ConfigurationError(
                        f"{self.name} in the source {self.path.parent} is a link that leads "
                        "outside the folders that runs may read: put the file itself there"
                    )
            yield descriptor
        finally:
            os.close(descriptor)


def open_local(source: str) -> LocalPath:
    """The folder of a path."""
    return LocalPath(Path(source))


class _Unblocked(io.FileIO):
    """Fails where a read would wait: some files of /proc and /sys are regular and yet block."""

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        if count is None:
            raise BlockingIOError("reading it would block")
        return count


def _place_of(descriptor: int) -> Path:
    """Where an open file or folder is, whatever its name leads to by now."""
    if sys.platform == "darwin":
        found = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        return Path(os.fsdecode(found.rstrip(b"\0")))
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _look_at(name: str, folder: int) -> Stamp:
    try:
        return _stamp(os.stat(name, dir_fd=folder))
    except OSError as error:
        if error.errno in SHORTAGES:
            raise
        is_closed = error.errno == errno.EACCES
        return Stamp("in a place that may not be entered" if is_closed else "a broken link")


def _stamp(found: os.stat_result) -> Stamp:
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "a device")
    version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return Stamp(kind, found.st_size, version)
