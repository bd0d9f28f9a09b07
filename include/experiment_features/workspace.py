"""The folder in which the stages of one run hand each other files and facts.

<workspace>/users/0001.parquet ...   typed rows, a file per file of the drop (extract)
<workspace>/rejected/users.parquet   positions of the rejected rows (validate)
<workspace>/issues.parquet           a row per fault of a row, if there is any (validate)
<workspace>/user_features.parquet, compound_features.parquet   (transform)
<workspace>/<stage>.json             the stage's facts: small counts; written last, so a stage
                                     that was cut short has not happened
<workspace>/scratch                  what a stage needs only itself; gone at its end
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from experiment_features.errors import ConfigurationError, WorkspaceUnavailable

MARK = ".workspace"
"""A file by which a folder is known for a workspace, and not for something of the user's."""


def folder_name(run_id: str) -> str:
    """A run's id as the name of its workspace: unusual characters are replaced."""
    return re.sub(r"[^\w.+-]", "_", run_id)


Facts = dict[str, Any]
"""What a stage found out, as JSON: counts, names, seconds."""

_SHORTAGES = (OSError, MemoryError, duckdb.IOException, duckdb.OutOfMemoryException)


class Workspace:
    """The files of one run."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder as it is; stages make it when they write."""
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def rows(self, table: str) -> Path:
        """The folder of a table's typed rows."""
        return self.folder / table

    def rejected(self, table: str) -> Path:
        """The positions of a table's rejected rows. Grain: row; column: position.

        Maybe absent when there are none.
        """
        return self.folder / "rejected" / f"{table}.parquet"

    @property
    def issues(self) -> Path:
        """The issues of the run. Grain: fault of a row; columns: see validate.validate.

        Absent when there are none.
        """
        return self.folder / "issues.parquet"

    def features(self, relation: str) -> Path:
        """The features of a run. Grain and columns: see transform.transform."""
        return self.folder / f"{relation}.parquet"

    def record(self, stage: str) -> Path:
        """The facts of a stage; there once it has run."""
        return self.folder / f"{stage}.json"

    @property
    def scratch(self) -> Path:
        """A folder for what only the stage needs that is running."""
        return self.folder / "scratch"

    @contextmanager
    def stage(self, name: str) -> Iterator[Facts]:
        """Runs a stage: its facts, with the seconds it took, are saved if it does not fail.

        Raises:
            WorkspaceUnavailable: disk or memory ran out, or the folder cannot be written.
        """
        record = Workspace.record(self, name)
        facts: Facts = {}
        started = time.monotonic()
        try:
            self.scratch.mkdir(parents=True, exist_ok=True)
            (self.folder / MARK).touch()
            record.unlink(missing_ok=True)
            yield facts
            shutil.rmtree(self.scratch, ignore_errors=True)
            facts["seconds"] = round(time.monotonic() - started, 3)
            draft = record.with_suffix(".draft")
            draft.write_text(json.dumps(facts, indent=1))
            draft.replace(record)
        except _SHORTAGES as error:
            raise WorkspaceUnavailable(
                f"{name} cannot work in {self}: {_reason(error)}. Free disk space or memory, or "
                "change EXPERIMENT_FEATURES_MEMORY_LIMIT"
            ) from error

    def facts(self, stage: str) -> Facts:
        """The facts of a stage that has run.

        Raises:
            ConfigurationError: it has not, or its workspace was removed since.
        """
        try:
            facts: Facts = json.loads(self.record(stage).read_text())
        except FileNotFoundError:
            raise ConfigurationError(
                f"the workspace {self} holds no finished {stage!r} stage: run it first "
                f"(in Airflow, clear the run's task {stage!r} and all behind it)"
            ) from None
        return facts

    def clear(self) -> None:
        """Removes whatever an earlier try left."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self, path: Path) -> None:
        """Removes a file or folder of the workspace, if an earlier try left it."""
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

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
        for mark in self.folder.parent.glob(f"*/{MARK}"):
            if _last_written(mark.parent) < oldest:
                shutil.rmtree(mark.parent, ignore_errors=True)


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
