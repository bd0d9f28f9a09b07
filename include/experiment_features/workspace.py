"""The folder in which the stages of one run hand each other files and facts.

<workspace>/users/0001.parquet ...   typed rows, a file per file of the drop (extract)
<workspace>/rejected/users.parquet   positions of the rejected rows (validate)
<workspace>/issues.parquet           a row per fault of a row, if there is any (validate)
<workspace>/user_features.parquet, compound_features.parquet   (transform)
<workspace>/<stage>.json             what the stage found out (run.py); written last, so a stage
                                     that was cut short has not happened
<workspace>/scratch                  what a stage needs only itself; gone at its end
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import duckdb

from experiment_features.errors import ConfigurationError, WorkspaceUnavailable
from experiment_features.run import STAGES, StageFacts

MARK = ".workspace"
"""A file by which a folder is known for a workspace, and not for something of the user's."""

_SHORTAGES = (OSError, MemoryError, duckdb.IOException, duckdb.OutOfMemoryException)

Found = TypeVar("Found", bound=StageFacts)


def folder_name(run_id: str) -> str:
    """A run's id as the name of its workspace: unusual characters are replaced."""
    return re.sub(r"[^\w.+-]", "_", run_id)


class Copy(Protocol):
    """Another place that a workspace is fetched from and stored in: see stored_workspace.py."""

    def fetch(self, path: Path) -> None:
        """Brings a file or folder of the workspace, if it is there, to its path."""

    def store(self) -> None:
        """Stores what a stage has written, all but its facts."""

    def store_facts(self, record: Path) -> None:
        """Stores the facts of a stage that has ended."""

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the workspace."""

    def remove_old_siblings(self, oldest: float) -> None:
        """Removes the workspaces beside this one that were last written before that time."""


class Recorder(Generic[Found]):
    """Takes what a stage found out."""

    def __init__(self) -> None:
        self.found: Found | None = None

    def finish(self, found: Found) -> Found:
        """Records it when the stage ends without an error."""
        self.found = found
        return found


class Workspace:
    """The files of one run."""

    def __init__(self, folder: Path, copy: Copy | None = None) -> None:
        """Takes the folder as it is; stages make it when they write.

        Args:
            folder: on this machine; with a copy, an empty one that the caller removes.
            copy: where the workspace really lies, if not in the folder.
        """
        self.folder = folder
        self._copy = copy

    def __str__(self) -> str:
        return str(self._copy or self.folder)

    def rows(self, table: str) -> Path:
        """The folder of a table's typed rows."""
        return self._here(self.folder / table)

    def rejected(self, table: str) -> Path:
        """The positions of a table's rejected rows. Grain: row; column: position.

        Maybe absent when there are none.
        """
        return self._here(self.folder / "rejected" / f"{table}.parquet")

    @property
    def issues(self) -> Path:
        """The issues of the run. Grain: fault of a row; columns: see rules.validate.

        Absent when there are none.
        """
        return self._here(self.folder / "issues.parquet")

    def features(self, relation: str) -> Path:
        """The features of a run. Grain and columns: see definitions.py."""
        return self._here(self.folder / f"{relation}.parquet")

    @property
    def scratch(self) -> Path:
        """A folder for what only the stage needs that is running."""
        return self.folder / "scratch"

    @contextmanager
    def stage(self, kind: type[Found]) -> Iterator[Recorder[Found]]:
        """Runs a stage: what it found, and the seconds it took, are recorded if it does not fail.

        Raises:
            WorkspaceUnavailable: disk or memory ran out, or the folder cannot be written.
            ConfigurationError, StorageUnavailable: its copy cannot be written.
        """
        record = self._record(kind.stage)
        recorder = Recorder[Found]()
        started = time.monotonic()
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            (self.folder / MARK).touch()
            self.remove(record)
            yield recorder
            shutil.rmtree(self.scratch, ignore_errors=True)
            if self._copy:
                self._copy.store()
            if recorder.found:
                seconds = {"seconds": round(time.monotonic() - started, 3)}
                draft = record.with_suffix(".draft")
                draft.write_text(json.dumps(asdict(recorder.found) | seconds, indent=1))
                draft.replace(record)
        except _SHORTAGES as error:
            raise WorkspaceUnavailable(
                f"{kind.stage} cannot work in {self}: {_reason(error)}. Free disk space or memory, "
                "or change EXPERIMENT_FEATURES_MEMORY_LIMIT"
            ) from error
        if self._copy and recorder.found:
            self._copy.store_facts(record)

    def found(self, kind: type[Found]) -> Found:
        """What a stage that has run found out.

        Raises:
            ConfigurationError: it has not run, or its workspace was removed since.
        """
        try:
            record = json.loads(self._here(self._record(kind.stage)).read_text())
        except FileNotFoundError:
            raise ConfigurationError(
                f"the workspace {self} holds no finished {kind.stage!r} stage: run it first "
                f"(in Airflow, clear the run's task {kind.stage!r} and all behind it)"
            ) from None
        known = {field.name for field in fields(kind)}
        return kind(**{name: value for name, value in record.items() if name in known})

    def seconds(self) -> dict[str, float]:
        """How long each stage took that has run."""
        records = {stage: self._here(self._record(stage)) for stage in STAGES}
        return {
            stage: json.loads(record.read_text())["seconds"]
            for stage, record in records.items()
            if record.exists()
        }

    def clear(self) -> None:
        """Removes whatever an earlier try left."""
        self.remove(self.folder)

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the workspace, if an earlier try left it."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        if self._copy:
            self._copy.remove(path)

    def fresh_folder(self, path: Path) -> Path:
        """Makes an empty folder of the workspace."""
        self.remove(path)
        path.mkdir(parents=True)
        return path

    def remove_old_siblings(self, keep_days: float) -> None:
        """Removes the workspaces beside this one in which nothing was written for so long.

        A run that is going on writes: its workspace stays. What cannot be removed stays too.
        """
        oldest = time.time() - keep_days * 24 * 60 * 60
        if self._copy:
            self._copy.remove_old_siblings(oldest)
            return
        for mark in self.folder.parent.glob(f"*/{MARK}"):
            if _last_written(mark.parent) < oldest:
                shutil.rmtree(mark.parent, ignore_errors=True)

    def _record(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"

    def _here(self, path: Path) -> Path:
        """The path, with what the copy has in its place fetched, if nothing is there yet."""
        if self._copy and not path.exists():
            self._copy.fetch(path)
        return path


def _reason(error: BaseException) -> str:
    """What an error says in its first line; DuckDB wraps the errors of its threads as JSON."""
    wrapped = re.search(r'"exception_message":("(?:[^"\\]|\\.)*")', str(error))
    reason = json.loads(wrapped[1]) if wrapped else str(error)
    return reason.partition("\n")[0] or type(error).__name__


def _last_written(folder: Path) -> float:
    """When the newest file of a folder was written; now, if the folder is changing."""
    try:
        return max(path.stat().st_mtime for path in folder.rglob("*"))
    except FileNotFoundError:
        return time.time()
