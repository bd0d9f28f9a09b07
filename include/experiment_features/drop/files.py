"""The files of a drop: which there are, and whether they are known ones."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import TypedDict

from experiment_features.contract import TABLES, Table
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import DropRefused

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_ENDINGS = (".csv", *(f".csv{ending}" for ending in COMPRESSIONS))

Parts = Mapping[Table, Sequence[AnyPath]]
"""The files of every table."""


class DropFile(TypedDict):
    """A file of a drop as it was read; the ledger keeps it as JSON with these keys."""

    table: str
    name: str
    bytes: int
    """As stored, perhaps compressed."""
    sha256: str
    rows: int


def find_parts(source: AnyPath) -> Parts:
    """The files of every table in the order of their names.

    Raises:
        DropRefused: the source is not a folder, a table has no file, or a name is not UTF-8.
    """
    try:
        present = sorted(
            (path for path in source.iterdir() if path.is_file()), key=lambda path: path.name
        )
    except OSError as error:
        raise DropRefused(
            f"the source {source} cannot be read as a folder ({error.strerror or error}): expected "
            f"a folder with the files of {', '.join(table.name for table in TABLES)}"
        ) from error
    return {table: _parts_of(table, present, source) for table in TABLES}


def _parts_of(table: Table, present: Sequence[AnyPath], source: AnyPath) -> Sequence[AnyPath]:
    parts = [p for p in present if p.name.startswith(table.name) and p.name.endswith(_ENDINGS)]
    if not parts:
        found = ", ".join(path.name for path in present[:20]) or "no files"
        raise DropRefused(
            f"the source {source} has no file of {table.name}: expected {table.name}.csv, or parts "
            f"{table.name}*.csv, plain, .gz or .zst; found {found}"
        )
    for part in parts:
        try:
            str(part).encode()
        except UnicodeEncodeError as error:
            raise DropRefused(
                f"the path of {part} is not UTF-8, so the run ledger cannot name it: rename the "
                "file or its folder"
            ) from error
    return parts


def holds_files(source: AnyPath, files: Sequence[DropFile]) -> bool:
    """Whether a source holds just these files: table, name, bytes and sha256 of each.

    Raises:
        DropRefused: see find_parts.
    """
    return are_known(find_parts(source), files)


def are_known(parts: Parts, known_files: Sequence[DropFile]) -> bool:
    """Whether the files are the known ones: names and sizes first, and hashes if those agree."""
    paths = [(table.name, path) for table, of_table in parts.items() for path in of_table]
    known = [(file["table"], file["name"], file["bytes"]) for file in known_files]
    if [(table, path.name, _size(path)) for table, path in paths] != known:
        return False
    for (_, path), file in zip(paths, known_files, strict=True):
        with opened(path) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != file["sha256"]:
                return False
    return True


def _size(path: AnyPath) -> int:
    with opened(path) as stream:
        return stream.seek(0, os.SEEK_END)


@contextmanager
def opened(path: AnyPath) -> Iterator[BufferedReader]:
    """Opens a file of a drop.

    Raises:
        DropRefused: it cannot be opened, or not be read to its end.
    """
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise DropRefused(
            f"{path.name} cannot be read ({error.strerror or error}): make the file readable"
        ) from error
