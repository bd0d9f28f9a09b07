"""The bytes of one file of a drop as they are stored: hashed, and decompressed."""

import hashlib
import re
import zlib
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

import pyarrow as pa

from experiment_features.drop.file_names import COMPRESSIONS
from experiment_features.errors import DropRefused
from experiment_features.reading.foreign_files import recognise_bytes, recognise_text

_BEGIN_BYTES = 4096
"""Enough to tell the type of a file."""

_TEXT = re.compile(rb"(?!\x28\xb5\x2f\xfd)[^\0-\x08\x0e-\x1f\x7f]+")
"""Without the control characters that any compressed data has; not even the begin of zstd's."""

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_BEGIN = b"\x1f\x8b"
_PASSED_OVER = b"\0\r\n"
"""What may follow gzip data: tapes and block devices pad with it, and transfers append it."""


class HashingStream:
    """Counts and hashes what is read through it; as much of a file as pyarrow asks for.

    Read to its end, ``size`` and ``sha256`` are those of the file as it is stored.
    """

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0
        self.begin = b""
        """The first bytes."""

    def read(self, size: int) -> bytes:
        """Reads up to ``size`` bytes."""
        chunk = self._stream.read(size)
        self.sha256.update(chunk)
        self.size += len(chunk)
        if len(self.begin) < _BEGIN_BYTES:
            self.begin += chunk[:_BEGIN_BYTES]
        return chunk

    def close(self) -> None:
        """Leaves the file open: whoever opened it closes it."""


def codec_of(name: str) -> str | None:
    """How a file of that name is compressed; None if it is not."""
    ends = (codec for end, codec in COMPRESSIONS.items() if name.lower().endswith(end))
    return next(ends, None)


def decompressed(stored: HashingStream, name: str, size: int) -> Iterator[bytes]:
    """Yields the content of a file whose name tells how it is compressed, some ``size`` at a time.

    Raises:
        DropRefused: the archive is broken, or is not an archive.
    """
    codec = codec_of(name)
    if codec is None:
        yield from iter(partial(stored.read, size), b"")
        return
    try:
        if codec == "gzip":
            yield from _gunzipped(stored, name, size)
        else:
            archive = pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), codec)
            yield from iter(partial(archive.read, size), b"")
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the file system: the archive is not to blame
        raise DropRefused(_fault(stored, name, codec, error)) from error


def _gunzipped(stored: HashingStream, name: str, size: int) -> Iterator[bytes]:
    """Yields the content of one gzip archive, or of several in a row."""
    fetch = partial(stored.read, max(1, size // 4))  # text is some four times as long
    data = fetch()
    while data:
        archive = zlib.decompressobj(_GZIP)
        while not archive.eof:
            content = archive.decompress(data, size)
            if content:
                yield content
            elif not (data or archive.eof):
                raise EOFError("it is cut off")
            data = archive.unconsumed_tail or (b"" if archive.eof else fetch())
        data = archive.unused_data.lstrip(_PASSED_OVER)
        while len(data) < len(_GZIP_BEGIN) and (more := fetch()):
            data = (data + more).lstrip(_PASSED_OVER)
        if data and not data.startswith(_GZIP_BEGIN):
            offset = stored.size - len(data)
            while fetch():
                pass
            more_bytes = stored.size - offset
            rest = "is 1 byte" if more_bytes == 1 else f"are {more_bytes} bytes"
            raise DropRefused(
                f"{name} is a broken gzip archive: after the end of its data, from offset "
                f"{offset} on, there {rest} of something else. "
                "Deliver the file again"
            )


def _fault(stored: HashingStream, name: str, codec: str, error: Exception) -> str:
    kind = recognise_bytes(stored.begin) or recognise_text(stored.begin)
    if kind and codec not in kind.kind:
        return f"{name} is not a {codec} archive but {kind}"
    if _TEXT.fullmatch(stored.begin):
        return (
            f"{name} is not {codec} data but text: rename it to {name.rpartition('.')[0]}, or "
            "compress it"
        )
    if "too much memory" in str(error):  # libzstd's wording
        return (
            f"{name} is compressed with a window of more than 128 MiB, as zstd --long=28 and above "
            "do, which would take as much memory: compress it again without --long"
        )
    return (
        f"{name} is a broken {codec} archive ({error}), found within its first {stored.size} "
        "bytes: deliver the file again"
    )
