"""The version is the one that the changelog describes; a checkout also knows its commit."""

import re
import subprocess
from pathlib import Path

import pytest

from experiment_features import version

ROOT = Path(__file__).parents[2]


def test_the_changelog_describes_this_version() -> None:
    """A release has its heading; what is being developed is called unreleased."""
    newest, *_ = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = version.VERSION if not version.VERSION.endswith(".dev0") else "Unreleased"
    assert newest == released


def test_a_checkout_knows_its_commit() -> None:
    """It is the one that git names."""
    git = ["git", "-C", ROOT, "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    if not head:
        pytest.skip("this is no checkout")
    found = (version.find_commit() or "").removesuffix("-dirty")
    assert found
    assert head.startswith(found)
    assert found in version.describe()


def test_a_copy_has_the_version_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a repository, as in the image, the commit is left out."""
    monkeypatch.setattr(version, "_PROJECT", tmp_path)
    assert version.describe() == version.VERSION
