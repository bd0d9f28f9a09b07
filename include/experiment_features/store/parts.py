"""The store of parts: each part has the rows of one file of a drop, and never changes.

<store>/<table>/<database id>/<sha256>.v<reader>.<digest>.parquet, deletions in the table's folder

sha256 is that of the file's stored bytes, reader the version of the reader, and digest tells
whether the part is intact. A part is written under another name first, so a crash leaves no half of
one. The ledger says which parts there are (load/part_store.py); the store is only looked into.
"""

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

from experiment_features.contract import DELETIONS, TABLES
from experiment_features.drop.files import Layer, Part
from experiment_features.drop.object_storage import StoredPath
from experiment_features.errors import (
    ConfigurationError,
    PartGone,
    PipelineError,
    StorageUnavailable,
)
from experiment_features.workspace import Workspace

READER_VERSION = 1
"""Of reading/: when it makes other rows of a file, the number rises and files are read again.

Parts whose files are gone are brought up from themselves, if that gives the same: upgrade_part.py.
"""

_DIGEST_CHARACTERS = 16
_DRAFT = ".draft-"
_OURS = re.compile(rf"{re.escape(_DRAFT)}.*|[0-9a-f]{{64}}\.v[0-9]+\.[0-9a-f]+\.parquet")


class NamedParts(Protocol):
    """The parts that the ledger names; nothing that it names is removed."""

    def find(self, sizes: Sequence[int]) -> list[Part]:
        """The parts of files with one of these sizes, in bytes."""

    def name(self, layers: Sequence[Layer]) -> None:
        """Enters that the run needs the parts of these layers, so that they stay."""


class NoLedger:
    """For parts in a workspace, which nobody else knows or removes."""

    def find(self, sizes: Sequence[int]) -> list[Part]:  # noqa: ARG002
        """None."""
        return []

    def name(self, layers: Sequence[Layer]) -> None:
        """Does nothing."""


class StoredFile(NamedTuple):
    """A file in the store."""

    table: str
    name: str
    bytes: int
    written_at: float
    """Seconds since 1970."""

    @property
    def is_draft(self) -> bool:
        """Whether it is still being written, or a crash has left it so."""
        return self.name.startswith(_DRAFT)


@dataclass(frozen=True)
class PartStore:
    """The parts of one database, in a folder or in object storage."""

    root: Path | StoredPath
    database_id: str
    """Empty for parts in a workspace."""
    cache: Path
    """A folder for parts of this run alone, and copies of parts in object storage; the caller
    removes it."""
    is_read_only: bool = False
    """Whether to leave the store as it is: new parts then stay in the cache."""

    def draft(self, table: str) -> Path:
        """Where a new part of a table can be written; the caller keeps or removes the file.

        Raises:
            StorageUnavailable: the store cannot be written.
        """
        place = self._at(table)
        folder = place if isinstance(place, Path) and not self.is_read_only else self._cached(table)
        with self._errors():
            folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{_DRAFT}{uuid.uuid4().hex}.parquet"

    def name_of(self, sha256: str, draft: Path) -> str:
        """The name of a part that has been written as a draft, made from a file with that hash."""
        return f"{sha256}.v{READER_VERSION}.{_digest(draft)}.parquet"

    def keep(self, part: Part, draft: Path) -> None:
        """Gives a draft the name of its part, in place of an equal one.

        Raises:
            StorageUnavailable, ConfigurationError: the store cannot be written.
        """
        place = self._at(part["table"], part["part"])
        with self._errors():
            if isinstance(place, StoredPath) and not self.is_read_only:
                place.keep(draft)
            if isinstance(place, StoredPath) or self.is_read_only:
                place = self._cached(part["table"], part["part"])
            draft.replace(place)

    def is_intact(self, part: Part) -> bool:
        """Whether the part is there, with the bytes that were written.

        Raises:
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        path = self._find(part)
        return path is not None and f".{_digest(path)}." in part["part"]

    def intact(self, parts: Sequence[Part], run_id: str) -> Sequence[Part]:
        """The parts of a load, once it is certain that they are there as they were written.

        Raises:
            PartGone: a part has been removed, or is damaged.
            ConfigurationError: a part is of a newer version, or the store cannot be used.
            StorageUnavailable: the store cannot be read.
        """
        if not parts:
            raise PartGone(
                f"what run {run_id} read is not in the store: it was loaded by an earlier version"
            )
        self.refuse_newer(parts, run_id)
        for part in self.find_lost(parts):
            raise PartGone(
                f"what run {run_id} read from {part['name']} is no longer in the store "
                f"{self.root}, or is damaged there: only parts that the last load or recent runs "
                "need are kept (EXPERIMENT_FEATURES_KEEP_PARTS_DAYS)"
            )
        return parts

    def refuse_newer(self, parts: Sequence[Part], run_id: str) -> None:
        """Refuses parts of a load that a newer program has made.

        Raises:
            ConfigurationError: there are some.
        """
        if (newest := max(map(reader_version, parts), default=0)) > READER_VERSION:
            raise ConfigurationError(
                f"what run {run_id} read is in the store in a form (version {newest} of the "
                f"reader) that this program (version {READER_VERSION}) does not know: update it"
            )

    def paths(self, parts: Sequence[Part], table: str) -> list[Path]:
        """The parts of a table as files of this machine, in their order.

        Raises:
            PartGone: a part has been removed.
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        paths = [(part, self._find(part)) for part in parts if part["table"] == table]
        return [path or self._refuse(part) for part, path in paths]

    def refuse_damaged(self, parts: Sequence[Part], seen: Path) -> None:
        """Makes sure that a stage can rely on the parts: see find_lost.

        Raises:
            PartGone: a part has been removed, or is damaged.
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        for part in self.find_lost(parts, seen):
            self._refuse(part)

    def find_lost(self, parts: Sequence[Part], seen: Path | None = None) -> list[Part]:
        """The parts that are not there as they were written.

        Args:
            parts: the parts.
            seen: a file of the workspace that tells what the parts were like when an earlier stage
                read them through, which takes long; those that are still so are not read again.

        Raises:
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        known = _read_seen(seen) if seen else {}
        stamps = {part["part"]: self._stamp(part) for part in parts}
        doubtful = [
            part
            for part in parts
            if not stamps[part["part"]] or known.get(part["part"]) != stamps[part["part"]]
        ]
        with ThreadPoolExecutor() as threads:  # hashing leaves the other cores free
            are_intact = threads.map(self.is_intact, doubtful)
            lost = [part for part, is_one in zip(doubtful, are_intact, strict=True) if not is_one]
        if seen:
            for part in lost:
                stamps.pop(part["part"], None)
            seen.write_text(json.dumps(known | stamps), "utf-8")
        return lost

    def _stamp(self, part: Part) -> list[int]:
        """What changes when the file of a part is written; empty if that cannot be told."""
        place = self._at(part["table"], part["part"])
        if not isinstance(place, Path) or not place.is_file():
            return []
        status = place.stat()
        return [status.st_ino, status.st_size, status.st_mtime_ns]

    def refuse_missing(self, parts: Sequence[Part]) -> None:
        """Makes sure that the parts are there; reads none of them.

        Raises:
            PartGone: a part has been removed.
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        for part in parts:
            with self._errors():
                is_there = self._at(part["table"], part["part"]).is_file()
            if not is_there:
                self._refuse(part)

    def files(self) -> Iterator[StoredFile]:
        """All parts and drafts, also those that were left by a crash; no other files.

        Raises:
            StorageUnavailable, ConfigurationError: the store cannot be read.
        """
        for table in TABLES:
            folder = self._at(table.name)
            with self._errors():
                if isinstance(folder, StoredPath):
                    for file in filter(_is_ours, folder.walk()):
                        with suppress(FileNotFoundError):  # removed meanwhile
                            size = file.store.size(file.key) or 0
                            yield StoredFile(table.name, file.name, size, file.written_at())
                    continue
                for path in sorted(filter(_is_ours, folder.glob("*"))):
                    with suppress(FileNotFoundError):  # a draft that has got its name meanwhile
                        stat = path.stat()
                        yield StoredFile(table.name, path.name, stat.st_size, stat.st_mtime)

    def remove(self, file: StoredFile) -> None:
        """Removes a file of the store, if it is there.

        Raises:
            StorageUnavailable, ConfigurationError: the store cannot be written.
        """
        place = self._at(file.table, file.name)
        with self._errors():
            if isinstance(place, StoredPath):
                place.remove()
            else:
                place.unlink(missing_ok=True)

    def _refuse(self, part: Part) -> NoReturn:
        raise PartGone(
            f"the rows of {part['name']} are no longer in the store {self.root}, or are damaged "
            "there: start the run again from the beginning (in Airflow, clear its task 'extract' "
            "and all after it)"
        )

    def _find(self, part: Part) -> Path | None:
        place = self._at(part["table"], part["part"])
        with self._errors():
            copy = self._cached(part["table"], part["part"])
            if copy.is_file():
                return copy
            if isinstance(place, Path):
                return place if place.is_file() else None
            copy.parent.mkdir(parents=True, exist_ok=True)
            draft = copy.with_name(f"{_DRAFT}{uuid.uuid4().hex}")
            try:
                place.fetch(draft)
            except FileNotFoundError:
                return None
            return draft.replace(copy)

    def _at(self, table: str, name: str = "") -> Path | StoredPath:
        """Where a file of the store lies; without a name, the folder of a table."""
        return self.root / self._below(table, name)

    def _cached(self, table: str, name: str = "") -> Path:
        """Where the cache has it: below it, everything lies as in the store."""
        return self.cache / self._below(table, name)

    def _below(self, table: str, name: str) -> str:
        return "/".join(filter(None, (folder_of(table), self.database_id, name)))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PipelineError:
            raise
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            place = Path(error.filename2 or error.filename)
            in_the_way = next(path for path in (place, *place.parents) if os.path.lexists(path))
            raise StorageUnavailable(
                f"the store of parts {self.root} cannot be used ({error.strerror}): move away or "
                f"remove {in_the_way}"
            ) from error
        except OSError as error:
            raise StorageUnavailable(
                f"the store of parts {self.root} cannot be used ({error.strerror or error}): free "
                "disk space, make it writable, or set EXPERIMENT_FEATURES_STORE to another place"
            ) from error


def folder_of(table: str) -> str:
    """The folder of a table's parts; deletions are with the rows that they delete.

    So whoever may read the experiments alone can tell which of them are in force.
    """
    of_deletions = {deletions.name: table for table, deletions in DELETIONS.items()}
    return of_deletions.get(table, table)


def reader_version(part: Part) -> int:
    """The version of the reader that made a part."""
    return int(part["part"].split(".")[1].removeprefix("v"))


def location_of(root: Path | StoredPath) -> str:
    """The address of a store, the same whoever opens it."""
    return str(root.absolute()) if isinstance(root, Path) else root.as_uri()


def _read_seen(seen: Path) -> dict[str, list[int]]:
    """What find_lost has written; nothing if it was ended, or the disk full, meanwhile."""
    try:
        found: dict[str, list[int]] = json.loads(seen.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _is_ours(file: Path | StoredPath) -> bool:
    """Whether a file of the store is a part or a draft, and not somebody else's."""
    return bool(_OURS.fullmatch(file.name)) and not (isinstance(file, Path) and file.is_dir())


def workspace_parts(workspace: Workspace) -> PartStore:
    """The parts of a run that is known to no database, in its workspace."""
    return PartStore(workspace.folder, "", workspace.scratch)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST_CHARACTERS]
