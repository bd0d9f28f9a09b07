"""The files of a run, on a disk without room for them."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from drops import Drop
from experiment_features.errors import WorkspaceUnavailable
from experiment_features.reading.extract import extract
from experiment_features.workspace import Workspace

INCLUDE = Path(__file__).parents[2] / "include"
SAMPLE = INCLUDE / "data" / "sample"


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
@pytest.mark.parametrize("limit", [0, 100, 2_000, 3_500])
def test_a_full_disk_is_reported_in_one_line(
    limit: int, engine: str, sample_drop: Drop, tmp_path: Path
) -> None:
    """Whichever file does not fit, the error is one line that asks to free disk space."""
    source = sample_drop.write(tmp_path / "drop")
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
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("failed: ")
    assert "ree disk space" in done.stderr
    assert "exception" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    """What lies at the place of a workspace is left alone, and the stage says what is wrong."""
    (tmp_path / "file").write_text("of the user")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(WorkspaceUnavailable, match="extract cannot work in"):
            extract(SAMPLE, Workspace(folder))
    assert (tmp_path / "file").read_text() == "of the user"
