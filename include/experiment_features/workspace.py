"""The folder in which the stages of one run exchange files and record what they found.

<workspace>/users/*.parquet ...      parts (store/parts.py) of a run that uses no store (extract)
<workspace>/seen_parts.json          which parts a stage has found intact (store/parts.py)
<workspace>/rejected/users.parquet   positions of the rejected rows (validate)
<workspace>/touched/users.parquet    ids that a delta brings or deletes (validate)
<workspace>/known/users.parquet ...  what the load below a delta has left (validate)
<workspace>/judged/users.parquet     ids of rows judged again, unless all are (validate)
<workspace>/computed/user_features.parquet   ids computed again, unless all are (transform)
<workspace>/issues.parquet           one row per issue, if there are any (validate)
<workspace>/user_features.parquet, compound_features.parquet   (transform)
                                     each a file, or a folder of files as Spark writes it
<workspace>/<stage>.json             what the stage found (run.py); written last, so that an
                                     interrupted stage counts as not run
<workspace>/scratch                  temporary files of a stage; removed when it ends
"""

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import duckdb

from experiment_features.errors import SHORTAGES, ConfigurationError, WorkspaceUnavailable
from experiment_features.run import STAGES, StageFacts

MARK = ".workspace"
"""A file that marks a folder as a workspace, so that nothing else is ever removed.

It holds the id of the run; that of an earlier version is empty.
"""

_NO_THREAD = "can't start new thread"
"""The text of the RuntimeError that Python raises when memory, or a limit, allows no more."""

_FILE_GONE = (os.strerror(errno.ENOENT), "No files found that match the pattern")
"""What the system, and DuckDB, say of a file that is not there."""

_SHORTAGES = (OSError, MemoryError, duckdb.IOException, duckdb.OutOfMemoryException)

Found = TypeVar("Found", bound=StageFacts)


def folder_name(run_id: str) -> str:
    """The name of a run's workspace, unique to the run: its id, with unusual signs as %XX.

    Raises:
        ConfigurationError: the id would name the folder of all workspaces, or the one above, or is
            not Unicode text.
    """
    if run_id in ("", ".", "..") or any("\ud800" <= sign <= "\udfff" for sign in run_id):
        raise ConfigurationError(
            f"the run id {run_id!r} cannot be used as the name of a folder: start the run "
            "under another id"
        )
    name = quote(run_id, safe="+")
    # Folders may have names of up to 255 bytes. No % is followed by lower case in a shorter name.
    digest = hashlib.sha256(run_id.encode()).hexdigest()
    return name if len(name) <= 250 else f"{name[:150]}%{digest}"


class Copy(Protocol):
    """Where a workspace is stored and fetched from, if elsewhere: see stored_workspace.py."""

    def fetch(self, path: Path) -> None:
        """Fetches a file or folder of the workspace to its path, if it exists."""

    def holds(self, path: Path) -> bool:
        """Whether a path is one of the workspace."""

    def uri(self, path: Path) -> str:
        """The address of a file or folder of the workspace."""

    def files(self, path: Path) -> list[str]:
        """The names, from a folder of the workspace on, of the files that it has there."""

    def store(self, place: Path | None = None) -> None:
        """Stores what a stage has written, at a place or everywhere, except its facts."""

    def store_facts(self, record: Path) -> None:
        """Stores the facts of a finished stage."""

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the workspace."""

    def remove_old_siblings(self, oldest: float) -> None:
        """Removes the workspaces next to this one that were last written before that time."""


class Recorder(Generic[Found]):
    """Holds what a stage found."""

    def __init__(self) -> None:
        self.found: Found | None = None

    def finish(self, found: Found) -> Found:
        """Hands in the findings, to be recorded when the stage ends without an error."""
        self.found = found
        return found


class Workspace:
    """The files of one run."""

    def __init__(self, folder: Path, copy: Copy | None = None, run_id: str = "") -> None:
        """Creates nothing: a stage creates the folder when it starts.

        Args:
            folder: a local folder; with a copy, an empty one that the caller removes.
            copy: where the workspace is really kept, if not in the folder.
            run_id: the run that uses it; the files of another run are then left alone.
        """
        self.folder = folder
        self.copy = copy
        self._run_id = run_id

    def __str__(self) -> str:
        return str(self.copy or self.folder)

    def rejected(self, table: str) -> Path:
        """The positions of a table's rejected rows. Grain: row; column: position.

        May be absent if there are none.
        """
        return self._here(self.folder / "rejected" / f"{table}.parquet")

    @property
    def seen_parts(self) -> Path:
        """Which parts a stage has found intact: see PartStore.refuse_damaged."""
        return self._here(self.folder / "seen_parts.json")

    @property
    def issues(self) -> Path:
        """The issues of the run. Grain: issue; columns: see rules.validate.

        Absent if there are none.
        """
        return self._here(self.folder / "issues.parquet")

    def touched(self, table: str) -> Path:
        """The ids of a table that a delta brings or deletes. Grain: id; column: the table's key.

        Absent if there are none.
        """
        return self._here(self.folder / "touched" / f"{table}.parquet")

    def known(self, name: str) -> Path:
        """What is known from the load that a delta builds on: see store/before.py.

        Absent if everything is computed.
        """
        return self._here(self.folder / "known" / f"{name}.parquet")

    def judged(self, table: str) -> Path:
        """The ids of a table that were judged again. Grain: id; column: the table's key.

        Absent if all were, or none.
        """
        return self._here(self.folder / "judged" / f"{table}.parquet")

    def computed(self, relation: str) -> Path:
        """The ids whose features were computed again. Grain: id; column: the relation's key.

        Absent if all were.
        """
        return self._here(self.folder / "computed" / f"{relation}.parquet")

    def features(self, relation: str) -> Path:
        """The features of a run. Grain and columns: see definitions.py."""
        return self._here(self.folder / f"{relation}.parquet")

    @property
    def scratch(self) -> Path:
        """A folder for temporary files of the running stage."""
        return self.folder / "scratch"

    @contextmanager
    def stage(self, kind: type[Found]) -> Iterator[Recorder[Found]]:
        """Runs a stage and, if it succeeds, records what it found and how long it took.

        Raises:
            WorkspaceUnavailable: disk space or memory ran out, or the folder cannot be written.
            ConfigurationError: the workspace is another run's, or its copy cannot be written.
            StorageUnavailable: the copy cannot be written.
        """
        self._refuse_other_runs()
        record = self._record(kind.stage)
        recorder = Recorder[Found]()
        started = time.monotonic()
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            self._refuse_lost(kind.stage)
            (self.folder / MARK).write_text(self._run_id, encoding="utf-8")
            self.remove(record)
            yield recorder
            self.remove(self.scratch)
            if self.copy:
                self.copy.store()
            if recorder.found:
                seconds = round(time.monotonic() - started, 3)
                facts = asdict(recorder.found) | {"seconds": seconds, "files": self._files()}
                draft = record.with_suffix(".draft")
                draft.write_text(json.dumps(facts, indent=1), "utf-8")
                draft.replace(record)
        except (*_SHORTAGES, RuntimeError) as error:
            reason = reason_of(error)
            if isinstance(error, RuntimeError) and reason != _NO_THREAD:
                raise
            raise WorkspaceUnavailable(
                f"{kind.stage} cannot use the workspace {self}: {reason}. {_remedy(reason)}"
            ) from error
        if self.copy and recorder.found:
            self.copy.store_facts(record)

    def found(self, kind: type[Found]) -> Found:
        """What a finished stage found.

        Raises:
            ConfigurationError: it has not finished, or its workspace has been removed, or is
                another run's.
            WorkspaceUnavailable: the workspace cannot be read.
        """
        self._refuse_other_runs()
        try:
            facts = self._facts(kind.stage)
            known = {field.name for field in fields(kind)}
            return kind(**{name: value for name, value in facts.items() if name in known})
        # It was not run, or by an earlier version, or the machine stopped while it was recorded.
        except (FileNotFoundError, TypeError, ValueError):
            raise ConfigurationError(
                f"the workspace {self} holds no finished {kind.stage!r} stage of this version: run "
                f"it first (in Airflow, clear the run's task {kind.stage!r} and all tasks after it)"
            ) from None
        except OSError as error:
            raise WorkspaceUnavailable(
                f"the workspace {self} cannot be read: {error}. Check its disk or network share"
            ) from error

    def _facts(self, stage: str) -> dict[str, Any]:
        """What a finished stage has recorded."""
        facts: dict[str, Any] = json.loads(self._here(self._record(stage)).read_text("utf-8"))
        return facts

    def _files(self) -> list[str]:
        """The names of the files with rows."""
        if self.copy:
            names = self.copy.files(self.folder)
        else:
            names = [path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")]
        return sorted(name for name in names if name.endswith(".parquet"))

    def _refuse_lost(self, stage: str) -> None:
        """Refuses to go on without a file that the stage before has left: it would seem empty."""
        if stage == STAGES[0]:
            return
        before = STAGES[STAGES.index(stage) - 1]
        try:
            facts = self._facts(before)
        except (FileNotFoundError, ValueError):  # found says that it was not run
            return
        if lost := {*facts.get("files", ())} - {*self._files()}:
            raise ConfigurationError(
                f"{min(lost)} is gone from the workspace {self} since the stage {before!r} ended: "
                "start the run again from the beginning (in Airflow, clear its task 'extract' and "
                "all after it)"
            )

    def seconds(self) -> dict[str, float]:
        """How long each finished stage took."""
        finished = [stage for stage in STAGES if self._here(self._record(stage)).exists()]
        return {stage: self._facts(stage)["seconds"] for stage in finished}

    def clear(self) -> None:
        """Removes everything that an earlier attempt left.

        Raises:
            ConfigurationError: the workspace is another run's.
        """
        self._refuse_other_runs()
        shutil.rmtree(self.folder, ignore_errors=True)  # what stays, the stage will report
        if self.copy:
            self.copy.remove(self.folder)

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the workspace, if it exists."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        if self.copy:
            self.copy.remove(path)

    def fresh_folder(self, path: Path) -> Path:
        """Creates an empty folder in the workspace."""
        self.remove(path)
        path.mkdir(parents=True)
        return path

    def remove_old_siblings(self, keep_days: float) -> None:
        """Removes the workspaces next to this one that were last written longer ago.

        A run in progress keeps writing, so its workspace stays. What cannot be removed also stays.
        """
        oldest = time.time() - keep_days * 24 * 60 * 60
        if self.copy:
            self.copy.remove_old_siblings(oldest)
            return
        for mark in self.folder.parent.glob(f"*/{MARK}"):
            if _last_written(mark.parent) < oldest:
                shutil.rmtree(mark.parent, ignore_errors=True)

    def _record(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"

    def _refuse_other_runs(self) -> None:
        with suppress(OSError):  # there is none yet; if it cannot be read, the stage will report it
            owner = self._here(self.folder / MARK).read_text(encoding="utf-8")
            if owner not in ("", self._run_id) and self._run_id:
                raise ConfigurationError(
                    f"the workspace {self} holds the files of run {owner}, not of "
                    f"{self._run_id}: start that run again under another id"
                )

    def _here(self, path: Path) -> Path:
        """The path, fetched from the copy if nothing is there yet."""
        if self.copy and not path.exists():
            self.copy.fetch(path)
        return path


def reason_of(error: BaseException) -> str:
    """The first line of an error's message; DuckDB wraps errors of its threads in JSON."""
    wrapped = re.search(r'"exception_message":("(?:[^"\\]|\\.)*")', str(error))
    reason = json.loads(wrapped[1]) if wrapped else str(error)
    return reason.partition("\n")[0] or type(error).__name__


def _remedy(reason: str) -> str:
    for number in (errno.ENFILE, errno.EMFILE):  # the text of the one begins with the other's
        if os.strerror(number) in reason:
            return SHORTAGES[number].capitalize()
    if any(text in reason for text in _FILE_GONE):
        return "A file was removed while it was needed: run it again"
    return "Free disk space or memory, or change EXPERIMENT_FEATURES_MEMORY_LIMIT"


def _last_written(folder: Path) -> float:
    """When the newest file of a folder was written; now, if that cannot be told."""
    now = time.time()
    try:
        return max((path.stat().st_mtime for path in folder.rglob("*")), default=now)
    except OSError:  # it is changing, or may not be looked at
        return now
