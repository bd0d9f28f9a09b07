"""The temporary folder of a command-line run."""

import shutil
from pathlib import Path

import pytest

from experiment_features.errors import WorkspaceUnavailable
from experiment_features.temporary_folder import temporary_folder


def test_a_folder_that_is_gone_hides_no_error() -> None:
    """Whoever cleans up /tmp may remove it during a run; the error of the run says what to do."""
    fault = WorkspaceUnavailable("cannot use the workspace")
    with pytest.raises(WorkspaceUnavailable, match="cannot use"), temporary_folder() as folder:
        _remove_and_raise(folder, fault)


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says so, and what to do."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    made = temporary_folder()
    with pytest.raises(WorkspaceUnavailable, match=r"cannot create a temporary folder .* TMPDIR"):
        made.__enter__()


def _remove_and_raise(folder: Path, fault: Exception) -> None:
    shutil.rmtree(folder)
    raise fault
