"""Fixtures that unit tests share."""

from pathlib import Path

import pytest

from drops import CLEAN, Drop, Part, Row
from experiment_features.workspace import Workspace


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """The folder of a drop without faults."""
    parts = (Part(table, "", tuple(map(Row, cells))) for table, cells in CLEAN.items())
    return Drop(tuple(parts)).write(tmp_path / "drop")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "workspace")
