"""The files of a run, on a disk without room for them."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from drops import every_fault
from experiment_features.engines.duckdb_engine import read_parquet
from experiment_features.errors import ConfigurationError, WorkspaceUnavailable
from experiment_features.rules.issues import summarise
from experiment_features.run import Extracted, Run
from experiment_features.temporary_folder import temporary_folder
from experiment_features.workspace import Workspace, _last_written, folder_name
from integration.running import make_drop
from stages import assert_as_expected, check_rows, extract, run_stages, transform

INCLUDE = Path(__file__).parents[2] / "include"
SAMPLE = INCLUDE / "data" / "sample"


@pytest.mark.parametrize(
    ("limit", "name", "engine", "what"),
    [
        (0, "Ann", "pandas", "cannot create a temporary folder"),
        (2_000, "Ann", "pandas", "the part "),
        (15_000, "", "pandas", "validate cannot use"),
        (15_000, "Ann", "pandas", "transform cannot use"),
        (15_000, "Ann", "duckdb", "transform cannot use"),
    ],
)
def test_a_full_disk_is_reported_in_one_line(
    limit: int, name: str, engine: str, what: str, tmp_path: Path
) -> None:
    """Whichever file does not fit, the error is one line that asks to free disk space."""
    users = range(1, 1_001)  # as a part, 11 KB; their issues, or features, are over 20 KB
    source = make_drop(dict.fromkeys(users, name), [(1, "1", "1")]).write(tmp_path / "drop")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "experiment_features", "run", source),
            *("--engine", engine, "--dry-run"),
        ],
        # Python would later fail on bytecode files that were cut short.
        env={
            "PYTHONPATH": str(INCLUDE),
            "TMPDIR": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        # Files that exceed this limit cause the same errors as a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"failed: {what}")
    assert "ree disk space" in done.stderr
    assert "exception" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_any_name_of_a_folder_will_do(engine: str, tmp_path: Path) -> None:
    """Also one that an engine would take for a pattern, and beside another that the pattern fits."""
    (tmp_path / "t a").mkdir()
    folder = tmp_path / "t [a-b]" / "-s*r q?x {c,d} 'e\" %41#2\n名=v"
    source = every_fault("users", "email_invalid").write(folder / "drop=1")
    workspace = Workspace(folder / "workspace")
    run_stages(source, workspace, engine)
    assert_as_expected(source, workspace)
    assert summarise(workspace)[1]


def test_too_few_threads_are_a_shortage(tmp_path: Path) -> None:
    """Of memory, or of a limit; any other such error is a fault of the program."""
    with pytest.raises(WorkspaceUnavailable), Workspace(tmp_path).stage(Extracted):
        raise RuntimeError("can't start new thread")
    with pytest.raises(RuntimeError, match="else"), Workspace(tmp_path).stage(Extracted):
        raise RuntimeError("something else")


def test_no_two_runs_share_a_folder() -> None:
    """Every id has a name of its own, which a folder can have."""
    ids = ["a:1", "a~1", "a_1", "a%3A1", "a/1", "A:1", "a+1", "é", "x" * 250, "x" * 251, "é" * 250]
    ids += ["é" * 249 + "e", ":" * 250, ".a", "..."]
    names = {folder_name(run_id) for run_id in ids}
    assert len(names) == len(ids)
    assert all(len(name) <= 250 and "/" not in name for name in names)
    assert folder_name("api__2026-11-22") == "api__2026-11-22"


@pytest.mark.parametrize("run_id", ["", ".", "..", "a\ud800"])
def test_an_id_that_is_no_name_is_refused(run_id: str) -> None:
    """It would be the folder of all workspaces, and clearing it would remove them."""
    with pytest.raises(ConfigurationError, match="cannot be used as the name of a folder"):
        folder_name(run_id)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "Free disk space or memory"),
        (errno.EMFILE, "Allow the process to open more files (`ulimit -n`)"),
        (errno.ENFILE, "(fs.file-max)"),
        (errno.ENOENT, "A file was removed while it was needed: run it again"),
    ],
)
def test_each_shortage_has_its_remedy(number: int, remedy: str, tmp_path: Path) -> None:
    """A limit of open files has nothing to do with the disk."""
    with pytest.raises(WorkspaceUnavailable) as caught, Workspace(tmp_path).stage(Extracted):
        raise OSError(number, os.strerror(number))
    assert remedy in str(caught.value)


def test_a_file_that_is_gone_for_duckdb_is_no_shortage(tmp_path: Path) -> None:
    """A part that a prune has removed meanwhile."""
    with (
        pytest.raises(WorkspaceUnavailable, match="A file was removed while it was needed"),
        Workspace(tmp_path).stage(Extracted),
        duckdb.connect() as database,
    ):
        read_parquet(database, tmp_path / "gone.parquet")


def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    """What lies at the place of a workspace is left alone, and the stage says what is wrong."""
    (tmp_path / "file").write_text("of the user")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(WorkspaceUnavailable, match="extract cannot use the workspace"):
            extract(SAMPLE, Workspace(folder))
    assert (tmp_path / "file").read_text() == "of the user"


def test_a_record_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """One that is cut off counts as none; otherwise the disk is to blame."""
    (tmp_path / "extract.json").write_text('{"source": "x", "is_unch')
    with pytest.raises(ConfigurationError, match="holds no finished 'extract' stage"):
        Workspace(tmp_path).found(Extracted)
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceUnavailable, match="cannot be read"):
        Workspace(tmp_path / "file").found(Extracted)


@pytest.mark.parametrize("lost", ["rejected/users.parquet", "issues.parquet"])
def test_a_file_that_is_gone_is_not_taken_for_an_empty_one(lost: str, tmp_path: Path) -> None:
    """Nothing is computed without the rows that it had."""
    workspace = Workspace(tmp_path / "workspace")
    extract(every_fault().write(tmp_path / "source"), workspace)
    engine = check_rows(workspace, "pandas")
    (workspace.folder / lost).unlink()
    with pytest.raises(ConfigurationError, match=f"{lost} is gone from the workspace .* 'extract'"):
        transform(workspace, engine)


def test_a_note_of_seen_parts_that_is_cut_off_is_made_anew(tmp_path: Path) -> None:
    """A stage that was killed, or found the disk full, while it wrote it can be repeated."""
    workspace = Workspace(tmp_path / "workspace")
    run_stages(make_drop({1: "Ann"}).write(tmp_path / "drop"), workspace, "pandas")
    note = workspace.seen_parts
    for cut in ("", note.read_text()[:30]):
        note.write_text(cut)
        check_rows(workspace, "pandas")


def test_an_old_workspace_may_be_emptied_by_others(tmp_path: Path) -> None:
    """Removing it must not fail a run whose load is committed."""
    begun = time.time()
    assert _last_written(tmp_path) >= begun
    assert _last_written(tmp_path / "gone") >= begun


def test_a_temporary_folder_may_vanish() -> None:
    """As when the system clears its temporary files: what a command has done stays done."""
    for whole in (True, False):
        with temporary_folder() as folder:
            shutil.rmtree(folder) if whole else (folder / ".lock").unlink()
        assert not folder.exists()


@pytest.mark.parametrize("run_id", ["x/2", "a/b/10", "x/1234567890"])
def test_an_id_of_a_repeated_run_is_refused(run_id: str) -> None:
    """The ledger enters the second attempt of run x as x/2."""
    with pytest.raises(ConfigurationError, match="entry for a repeated run"):
        Run(run_id, "manual", datetime.now(UTC), date(2024, 1, 1))
    Run(f"{run_id}a", "manual", datetime.now(UTC), date(2024, 1, 1))
