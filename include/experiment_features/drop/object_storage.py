"""Object storage: drops and workspaces on ``s3://`` and whatever else fsspec opens.

A URI may name, before an ``@``, the Airflow connection with the credentials, as Airflow's
ObjectStoragePath has it: ``s3://connection@bucket/folder``. What the stores' own libraries raise
becomes the pipeline's errors here.
"""

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from experiment_features.drop.local_path import FILE, LocalPath, Stamp
from experiment_features.errors import (
    ConfigurationError,
    PipelineError,
    StorageUnavailable,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

OpenFilesystem = Callable[[str], "AbstractFileSystem"]
"""From a URI to the file system that it lies in, with credentials."""

BLOCK_BYTES = 16 * 2**20
"""A file is fetched and stored in requests of this size, so that memory does not grow with it."""

_VERSIONS = ("generation", "ETag", "etag", "LastModified", "last_modified", "updated", "mtime")
"""What stores call the attribute that changes with a file's content, the most reliable first."""


_UNKNOWN = (
    *(ImportError, ValueError, TypeError, AttributeError, NotImplementedError),
    *(FileNotFoundError, IsADirectoryError, NotADirectoryError),
)
"""What fsspec and its file systems raise for a URI that is not one, or lacks what they need."""

_EXPECTED = (
    "expected a folder, with the scheme of an installed provider of object storage "
    "(for s3://, scripts/setup.sh --s3, or requirements/s3.txt)"
)


@contextmanager
def storage_errors(uri: str) -> Iterator[None]:
    """Turns what a store raises into the pipeline's errors.

    Raises:
        FileNotFoundError, IsADirectoryError, NotADirectoryError: as they are.
        ConfigurationError: the credentials are missing, or not good for this; or it has no folders.
        StorageUnavailable: anything else, such as a connection that was cut.
    """
    try:
        yield
    except (PipelineError, FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise
    except Exception as error:  # each store's library has errors of its own, without one ancestor
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        if isinstance(error, NotImplementedError):
            raise ConfigurationError(f"{uri} cannot be read: {_EXPECTED}") from error
        if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
            raise ConfigurationError(
                f"the store of {uri} refuses access ({reason}): correct the credentials of its "
                "connection, or their permissions there"
            ) from error
        raise StorageUnavailable(
            f"the store of {uri} cannot be reached, or broke off the connection ({reason}): try "
            "again"
        ) from error


@contextmanager
def opening_errors(uri: str) -> Iterator[None]:
    """As storage_errors, for the moment in which the file system of a URI is looked for.

    Raises:
        ConfigurationError: nothing that is installed opens the URI, too.
    """
    with storage_errors(uri):
        try:
            urlsplit(uri)  # some file systems do this only when they read
            yield
        except _UNKNOWN as error:
            raise ConfigurationError(f"{uri} cannot be opened ({error}): {_EXPECTED}") from error


def root_of(uri: str) -> str:
    """Scheme, connection and bucket: openers of file systems would misread signs of a key."""
    return "/".join(uri.split("/")[:3])


class StoredPath:
    """A folder or file in object storage, with as much of a path's interface as drops need."""

    def __init__(self, uri: str, store: "AbstractFileSystem", stamp: Stamp | None = None) -> None:
        """Takes the place as it is.

        Args:
            uri: its address, with or without the name of a connection; never percent-encoded.
            store: the file system that it lies in.
            stamp: as its folder was listed, if it was.
        """
        from fsspec.core import strip_protocol

        self._uri = uri.rstrip("/")
        self.store = store
        self.stamp = stamp
        self.key: str = strip_protocol(self.as_uri())

    def __str__(self) -> str:
        return self._uri

    def __truediv__(self, name: str) -> "StoredPath":
        return StoredPath(f"{self}/{name}", self.store)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self._uri.rpartition("/")[2]

    def as_uri(self) -> str:
        """The address as the rest of the world knows it: without the name of a connection."""
        scheme, _, rest = self._uri.partition("://")
        bucket, slash, key = rest.partition("/")
        return f"{scheme}://{bucket.rpartition('@')[2]}{slash}{key}"

    def entries(self) -> list["StoredPath"]:
        """What lies in the folder now, each with its stamp, in the order of their names.

        Raises:
            NotADirectoryError: it is a file.
        """
        with storage_errors(str(self)):
            self.store.invalidate_cache(self.key)
            found = {
                info["name"].rstrip("/"): info for info in self.store.ls(self.key, detail=True)
            }
        own = found.pop(self.key, None)  # some tools create an object that represents the folder
        if own and not found and _stamp(own).size:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self))
        return [
            StoredPath(f"{self}/{key.rpartition('/')[2]}", self.store, _stamp(info))
            for key, info in sorted(found.items())
        ]

    def is_file(self) -> bool:
        """Whether something can be read here."""
        with storage_errors(str(self)):
            self.store.invalidate_cache(self.key)
            return bool(self.store.isfile(self.key))

    def is_dir(self) -> bool:
        """Whether anything lies below."""
        with storage_errors(str(self)):
            self.store.invalidate_cache(self.key)
            return bool(self.store.isdir(self.key))

    def open(self) -> io.BufferedReader:
        """Opens the file to be read, a block at a time."""
        with storage_errors(str(self)):
            stream = self.store.open(self.key, "rb", block_size=BLOCK_BYTES)
        return io.BufferedReader(_Reading(stream, str(self)), 2**20)

    def stamp_of(self, _stream: io.BufferedReader) -> Stamp:
        """The stamp of the file, as it is now."""
        with storage_errors(str(self)):
            self.store.invalidate_cache(self.key.rpartition("/")[0])
            return _stamp(self.store.info(self.key))

    def fetch(self, target: Path) -> None:
        """Copies the file to this machine."""
        with storage_errors(str(self)):
            self.store.get_file(self.key, str(target))

    def keep(self, source: Path) -> None:
        """Stores a file of this machine here."""
        with (
            storage_errors(str(self)),
            source.open("rb") as file,
            self.store.open(self.key, "wb", block_size=BLOCK_BYTES) as stream,
        ):
            shutil.copyfileobj(file, stream, 2**20)

    def walk(self) -> list["StoredPath"]:
        """The files in the folder and below, as they are now; none if it is absent."""
        with storage_errors(str(self)):
            self.store.invalidate_cache()
            below = len(self.key) + 1
            return [self / key[below:] for key in self.store.find(self.key)]

    def written_at(self) -> float:
        """When the file was stored, in seconds since 1970."""
        with storage_errors(str(self)):
            return float(self.store.modified(self.key).timestamp())

    def remove(self) -> None:
        """Removes the file, or the folder with all below; nothing if it is absent."""
        with storage_errors(str(self)):
            self.store.invalidate_cache()
            if self.store.exists(self.key):
                self.store.rm(escape(self.key), recursive=True)  # it takes patterns


AnyPath = LocalPath | StoredPath
"""Where a drop may lie."""

OpenSource = Callable[[str], AnyPath]
"""Opens the folder of a drop that the ledger names."""


def _stamp(info: dict[str, Any]) -> Stamp:
    """The stamp of what a store tells of a file or folder."""
    if info["type"] != "file":
        return Stamp("a folder")
    version = next((str(info[name]) for name in _VERSIONS if info.get(name)), "")
    return Stamp(FILE, info["size"] or 0, (version,))


class _Reading(io.RawIOBase):
    """A file of a store; what goes wrong is the pipeline's error."""

    def __init__(self, stream: Any, uri: str) -> None:
        self._stream = stream
        self._uri = uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with storage_errors(self._uri):
            return int(self._stream.readinto(buffer))

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stream.seek(offset, whence))

    def close(self) -> None:
        self._stream.close()
        super().close()
