"""The files of a drop: which there are, whether they are known ones, and whether they stay so."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path
from typing import TypedDict

from experiment_features.contract import BY_PRODUCTS, TABLES, Table
from experiment_features.drop.arrival import MARKER
from experiment_features.drop.local_path import FILE, LocalPath
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import (
    SHORTAGES,
    DropChanged,
    DropRefused,
    PipelineError,
    StorageUnavailable,
)
from experiment_features.visible_text import escape, shown

log = logging.getLogger(__name__)

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_ENDINGS = (".csv", *(f".csv{ending}" for ending in COMPRESSIONS))
_DELETED = "deleted_"
_SHOWN = 20
"""The most names that a message shows."""

TableFiles = Mapping[Table, Sequence[AnyPath]]
"""The files of every table."""


class DropFile(TypedDict):
    """A file of a drop as it was read; the ledger keeps it as JSON with these keys."""

    table: str
    name: str
    bytes: int
    """As stored, perhaps compressed."""
    sha256: str
    rows: int


class Part(DropFile):
    """A file of a drop, and the part that has its rows; the ledger keeps it as JSON."""

    part: str
    """The name of the part in the store: see store/parts.py."""
    content_sha256: str
    """Of what is in the file, decompressed."""
    text_bytes: int
    """How much text it holds, decompressed."""
    ids: Sequence[int] | None
    """The first and last id, if each is greater than the one before; else None."""


class Layer(TypedDict):
    """What one drop brought: a snapshot's parts, or those of a delta on top of the layers below.

    The ledger keeps the layers of a load as JSON, the snapshot first.
    """

    run_id: str
    """The run that loaded the drop; empty for the run in progress."""
    source: str
    """The drop's folder."""
    parts: Sequence[Part]


def find_files(source: AnyPath | Path) -> TableFiles:
    """The files of every table in the order of their names; the log names all other files.

    Raises:
        DropRefused: the source is not a folder, a table has no file, a file may be a part but is
            not read, or a name is not UTF-8.
        ConfigurationError: the source is a link that leads out of the allowed roots.
    """
    entries = _list(source)
    _refuse_deltas(source, entries)
    _refuse_unread([e for e in entries if _may_be_part(e.name) and not _is_read(e)], source)
    others = [e.name for e in entries if not _may_be_part(e.name) and not _is_known(e.name)]
    if others:
        place = escape(str(source))
        log.warning("ignored files in %s that belong to no table: %s", place, _shown(others))
    return {table: _files_of(table, entries, source) for table in TABLES}


def refuse_changes(source: AnyPath | Path, files: TableFiles) -> None:
    """Refuses a drop if the files in its folder are no longer exactly those that were listed.

    Raises:
        DropChanged: a file has come, gone or changed.
    """
    before = {(file.name, file.stamp) for of_table in files.values() for file in of_table}
    now = {(entry.name, entry.stamp) for entry in _list(source) if _may_be_part(entry.name)}
    changed = sorted({name for name, _ in before ^ now})
    if changed:
        raise _changed(_shown(changed))


def holds_files(source: AnyPath, files: Sequence[DropFile]) -> bool:
    """Whether a source holds just these files: table, name, bytes and sha256 of each.

    Raises:
        DropRefused: see find_files.
    """
    paths = [
        (table.name, path) for table, of_table in find_files(source).items() for path in of_table
    ]
    known = [(file["table"], file["name"], file["bytes"]) for file in files]
    if [(table, path.name, size_of(path)) for table, path in paths] != known:
        return False
    return all(
        hash_file(path) == file["sha256"] for (_, path), file in zip(paths, files, strict=True)
    )


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
                    raise _changed(path.name) from error
                if isinstance(error, DropRefused):
                    error.file = path.name
                raise
            if path.stamp_of(stream) != path.stamp:
                raise _changed(path.name)
    except FileNotFoundError as error:
        raise _changed(path.name) from error
    except OSError as error:
        fault = f"{path.name} cannot be read ({error.strerror or error})"
        _refuse_shortage(fault, error, path.name)
        raise DropRefused(f"{fault}: make the file readable", file=path.name) from error


def _refuse_shortage(fault: str, error: OSError, file: str | None = None) -> None:
    """Raises StorageUnavailable if an error does not come from the file itself."""
    if error.errno in SHORTAGES:
        raise StorageUnavailable(f"{fault}: {SHORTAGES[error.errno]}", file=file) from error


def _list(source: AnyPath | Path) -> Sequence[AnyPath]:
    place = LocalPath(source) if isinstance(source, Path) else source
    try:
        return place.entries()
    except OSError as error:
        fault = f"the source {source} cannot be read as a folder ({error.strerror or error})"
        _refuse_shortage(fault, error)
        tables = ", ".join(table.name for table in TABLES)
        raise DropRefused(f"{fault}: expected a folder with the files of {tables}") from error


def _may_be_part(name: str) -> bool:
    """Whether a name begins like those of a table's files, and is not that of a by-product."""
    is_named = name.lower().removeprefix(_DELETED).startswith(tuple(table.name for table in TABLES))
    return is_named and (name.lower().endswith(_ENDINGS) or not _is_known(name))


def _is_known(name: str) -> bool:
    """Whether a file of that name means nothing, as far as the rows of a drop are concerned."""
    patterns = (pattern for of_origin in BY_PRODUCTS.values() for pattern in of_origin)
    return name == MARKER or any(fnmatchcase(name.lower(), pattern) for pattern in patterns)


def _is_read(entry: AnyPath) -> bool:
    is_file = entry.stamp is not None and entry.stamp.kind == FILE
    return is_file and entry.name.lower().endswith(_ENDINGS)


def _refuse_deltas(source: AnyPath | Path, entries: Sequence[AnyPath]) -> None:
    """Refuses a drop if something in it indicates that it is only a partial one."""
    remedy = "only complete drops are loaded, and this may be a partial one. Deliver all rows"
    for entry in entries:
        if entry.name.lower().startswith(_DELETED) and _may_be_part(entry.name):
            raise DropRefused(f"{entry.name} in {source} lists rows to delete: {remedy} without it")
        if entry.name == MARKER and entry.stamp and entry.stamp.kind == FILE:
            with opened(entry) as stream:
                # A byte order mark and blanks, in UTF-8 or UTF-16.
                text = stream.read(2**20).lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n\v\f")
            if text.startswith(b"{"):
                raise DropRefused(
                    f"the marker {MARKER} in {source} begins with {{, as the manifest of a partial "
                    f"drop does: {remedy}, with an empty {MARKER}"
                )


def _refuse_unread(unread: Sequence[AnyPath], source: AnyPath | Path) -> None:
    """Refuses a drop with files that may be lost parts of a table."""
    if unread:
        kinds = {e.name: e.stamp.kind for e in unread if e.stamp and e.stamp.kind != FILE}
        names = [f"{e.name} ({kinds[e.name]})" if e.name in kinds else e.name for e in unread]
        raise DropRefused(
            f"{_shown(names)} in {source} cannot be read, but may be part of a table, because "
            "the name begins with a table's name: expected files ending in .csv, .csv.gz or "
            ".csv.zst. "
            "Unpack, rename or remove it, or wait until its upload is complete"
        )


def _files_of(
    table: Table, entries: Sequence[AnyPath], source: AnyPath | Path
) -> Sequence[AnyPath]:
    parts = [e for e in entries if e.name.lower().startswith(table.name) and _is_read(e)]
    if not parts:
        found = _shown([entry.name for entry in entries]) or "no files"
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


def _shown(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(shown, names[:_SHOWN])) + more


def _changed(names: str) -> DropChanged:
    return DropChanged(
        f"{names}: changed while being read. Nothing was loaded: run it again, as Airflow "
        "does by itself. "
        "Upload files to another folder first, and move them here once they are complete"
    )
