"""The files of a drop: which there are, whether they are known ones, and whether they stay so."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from experiment_features.contract import ALL_TABLES, DELETIONS, TABLES, DropMode, Mode, Table
from experiment_features.drop.arrival import MARKER
from experiment_features.drop.file_names import (
    has_known_ending,
    means_nothing,
    shown_names,
    table_of,
)
from experiment_features.drop.local_path import FILE, LocalPath
from experiment_features.drop.manifest import Manifest, decide_mode, parse_manifest, read_marker
from experiment_features.drop.object_storage import AnyPath
from experiment_features.drop.open_file import files_changed, hash_file, refuse_shortage, size_of
from experiment_features.errors import (
    DropChanged,
    DropRefused,
    StorageUnavailable,
    TerminalError,
)
from experiment_features.visible_text import escape

log = logging.getLogger(__name__)

TableFiles = Mapping[Table, Sequence[AnyPath]]
"""The files of tables."""


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
    compacted: NotRequired[Sequence[Part]]
    """Of some layers: the rows in force after it, as one part of each table (store/compaction.py).
    They may be lost; the parts of the layers may not."""


UNREADABLE = (TerminalError, DropChanged, StorageUnavailable)
"""What find_drop and those that call it may raise."""


def parts_of(layers: Sequence[Layer]) -> list[Part]:
    """The parts of all layers, in their order."""
    return [part for layer in layers for part in layer["parts"]]


def relied_parts(layers: Sequence[Layer]) -> list[Part]:
    """The parts from which the rows in force are read."""
    return [*compacted_parts(layers), *parts_of(layers[count_compacted(layers) :])]


def compacted_parts(layers: Sequence[Layer]) -> Sequence[Part]:
    """The parts that are read in place of those layers; none if none are compacted."""
    end = count_compacted(layers)
    return layers[end - 1]["compacted"] if end else []


def count_compacted(layers: Sequence[Layer]) -> int:
    """How many layers need not be read, because a later one has their rows compacted."""
    return max((n for n, layer in enumerate(layers, start=1) if "compacted" in layer), default=0)


def without_compacted(layer: Layer) -> Layer:
    """The layer with its own parts alone."""
    return with_parts(layer, layer["parts"])


def with_parts(layer: Layer, parts: Sequence[Part]) -> Layer:
    """The layer with other parts in place of its own, and not compacted."""
    return Layer(run_id=layer["run_id"], source=layer["source"], parts=parts)


@dataclass(frozen=True)
class Drop:
    """What lies in the folder of a drop, and what it declares."""

    mode: DropMode
    files: TableFiles
    """In the order of their names: of a snapshot, the files of each table, at least one; of a
    delta, those of each table and each table of deletions."""
    manifest: Manifest | None
    """None if it has none."""
    marker: bytes | None
    """The text of the manifest; nothing if the marker is none, None without a marker."""

    @property
    def base(self) -> str | None:
        """What the drop says it builds on."""
        return self.manifest.base if self.manifest else None


def find_drop(source: AnyPath | Path, mode: Mode = "auto", unmarked: DropMode = "snapshot") -> Drop:
    """The files of every table, and what they are; the log names all other files.

    Args:
        source: the folder.
        mode: what the run says that the drop is.
        unmarked: what it is if neither the run nor a marker says so.

    Raises:
        DropRefused: the source is not a folder, the manifest is malformed or contradicts the files
            or the mode, a snapshot has deletions or no file of a table, a delta has no file at all,
            a file may be a part but is not read, or a name is not UTF-8.
        DropChanged: the marker changes meanwhile.
        ConfigurationError: a file is a link that leads out of the allowed roots.
    """
    entries = list_folder(source)
    marker = read_marker(entries, source)
    manifest = parse_manifest(marker) if marker else None
    found_mode = decide_mode(mode, manifest, has_marker=marker is not None, unmarked=unmarked)
    named = [entry for entry in entries if table_of(entry.name)]
    if found_mode == "snapshot":
        _refuse_deletions(named, source)
    _refuse_unread([entry for entry in named if not _is_read(entry)], source)
    _refuse_undecodable(named)
    if manifest:
        manifest.check_names([entry.name for entry in named])
    others = [e.name for e in entries if not (table_of(e.name) or means_nothing(e.name))]
    if others:
        place = escape(str(source))
        log.warning("ignored files in %s that belong to no table: %s", place, shown_names(others))
    tables = TABLES if found_mode == "snapshot" else ALL_TABLES
    files = {table: [e for e in named if table_of(e.name) == table] for table in tables}
    _refuse_missing(found_mode, files, entries, source)
    return Drop(found_mode, files, manifest, marker)


def find_delta(source: AnyPath) -> Manifest | None:
    """The manifest of a drop, if it declares a delta; None also if it cannot be read."""
    try:
        marker = read_marker(list_folder(source), source)
        manifest = parse_manifest(marker) if marker else None
    except UNREADABLE:  # the run that takes it will say so
        return None
    return manifest if manifest and manifest.mode == "delta" else None


def refuse_changes(source: AnyPath | Path, drop: Drop) -> None:
    """Refuses a drop if its folder no longer has exactly the files and the manifest of before.

    A marker that is no manifest may come and go, unless it would make a delta a snapshot.

    Raises:
        DropChanged: a file or the manifest has come, gone or changed.
    """
    entries = list_folder(source)
    before = {(file.name, file.stamp) for of_table in drop.files.values() for file in of_table}
    now = {(entry.name, entry.stamp) for entry in entries if table_of(entry.name)}
    changed = {name for name, _ in before ^ now}
    marker = read_marker(entries, source)
    if marker != drop.marker and (marker or drop.marker or drop.mode == "delta"):
        changed.add(MARKER)
    if changed:
        raise files_changed(shown_names(sorted(changed)))


def holds_files(source: AnyPath, files: Sequence[DropFile], mode: DropMode) -> bool:
    """Whether a drop is of this mode and has just these files: table, name, bytes and sha256.

    Raises:
        DropRefused, DropChanged: see find_drop.
    """
    drop = find_drop(source)
    if drop.mode != mode:
        return False
    paths = [(table.name, path) for table, of_table in drop.files.items() for path in of_table]
    known = [(file["table"], file["name"], file["bytes"]) for file in files]
    if [(table, path.name, size_of(path)) for table, path in paths] != known:
        return False
    return all(
        hash_file(path) == file["sha256"] for (_, path), file in zip(paths, files, strict=True)
    )


def list_folder(source: AnyPath | Path) -> Sequence[AnyPath]:
    """What is in the folder of a drop.

    Raises:
        DropRefused: it is no folder that can be read.
        StorageUnavailable: the system, or the storage, is to blame.
    """
    place = LocalPath(source) if isinstance(source, Path) else source
    try:
        return place.entries()
    except OSError as error:
        fault = f"the source {source} cannot be read as a folder ({error.strerror or error})"
        refuse_shortage(fault, error)
        tables = ", ".join(table.name for table in TABLES)
        raise DropRefused(f"{fault}: expected a folder with the files of {tables}") from error


def _is_read(entry: AnyPath) -> bool:
    is_file = entry.stamp is not None and entry.stamp.kind == FILE
    return is_file and has_known_ending(entry.name)


def _refuse_deletions(named: Sequence[AnyPath], source: AnyPath | Path) -> None:
    """Refuses a snapshot with files of deletions: it may be a delta whose manifest is missing."""
    names = [entry.name for entry in named if table_of(entry.name) in DELETIONS.values()]
    if names:
        raise DropRefused(
            f"{shown_names(names)} in {source} lists rows to delete, but the drop is a snapshot, "
            "of which everything that is not in it is deleted. If it holds only what has changed, "
            f'declare it: write {{"mode": "delta"}} into its marker {MARKER}, or run it with the '
            "mode delta. Otherwise remove the file",
            file=names[0],
        )


def _refuse_unread(unread: Sequence[AnyPath], source: AnyPath | Path) -> None:
    """Refuses a drop with files that may be lost parts of a table."""
    if unread:
        kinds = {e.name: e.stamp.kind for e in unread if e.stamp and e.stamp.kind != FILE}
        names = [f"{e.name} ({kinds[e.name]})" if e.name in kinds else e.name for e in unread]
        raise DropRefused(
            f"{shown_names(names)} in {source} cannot be read, but may be part of a table, because "
            "the name begins with a table's name: expected files ending in .csv, .csv.gz or "
            ".csv.zst. "
            "Unpack, rename or remove it, or wait until its upload is complete"
        )


def _refuse_undecodable(named: Sequence[AnyPath]) -> None:
    for entry in named:
        try:
            str(entry).encode()
        except UnicodeEncodeError as error:
            raise DropRefused(
                f"the path of {entry} is not UTF-8, so the run ledger cannot name it: rename the "
                "file or its folder"
            ) from error


def _refuse_missing(
    mode: DropMode, files: TableFiles, entries: Sequence[AnyPath], source: AnyPath | Path
) -> None:
    """Refuses a snapshot without a file of some table, and a delta without any."""
    found = shown_names([entry.name for entry in entries]) or "no files"
    missing = [table.name for table, of_table in files.items() if not of_table]
    if mode == "delta" and len(missing) == len(files):
        raise DropRefused(
            f"the delta in {source} has no file of a table or of deletions: expected at least one, "
            f"such as {missing[0]}.csv or {missing[-1]}.csv; found {found}"
        )
    if mode == "snapshot" and missing:
        table = missing[0]
        declare = (
            '. If it holds only what has changed, declare it: write {"mode": "delta"} into its '
            f"marker {MARKER}, or run it with the mode delta"
        )
        raise DropRefused(
            f"the source {source} has no file of {table}: expected {table}.csv, or parts "
            f"{table}*.csv, plain, .gz or .zst; found {found}"
            f"{declare if any(files.values()) else ''}"
        )
