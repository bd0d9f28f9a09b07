"""The version is the one that the changelog describes; a checkout also knows its commit."""

import hashlib
import re
import subprocess
from collections.abc import Iterator
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


def test_without_git_no_commit_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: the version is told all the same."""
    version.find_commit.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("EXPERIMENT_FEATURES_COMMIT", raising=False)
    assert version.find_commit() is None
    version.find_commit.cache_clear()


def test_the_lock_is_the_one_that_was_installed() -> None:
    """Its sha256 is the file's own."""
    lock = (ROOT / "requirements.txt").read_bytes()
    assert version.find_lock() == hashlib.sha256(lock).hexdigest()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code lies in a folder without a repository and a lock."""
    caches = (version.find_commit, version.find_lock)
    for cached in caches:
        cached.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(version, "_PROJECT", tmp_path)
        yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(("given", "commit"), [(None, None), ("", None), ("abc", "abc")])
def test_a_copy_knows_the_commit_that_its_image_was_given(
    given: str | None, commit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a repository and without that, the commit is left out."""
    if given is not None:
        monkeypatch.setenv(version.COMMIT_VARIABLE, given)
    assert version.find_commit() == commit
    assert version.describe() == version.VERSION + (f" (commit {commit})" if commit else "")
    assert version.find_lock() is None


def test_the_image_is_given_its_commit() -> None:
    """From the script that builds it to the variable that is read."""
    files = ("scripts/start_docker.sh", "docker-compose.yaml", "Dockerfile")
    assert all(version.COMMIT_VARIABLE in (ROOT / file).read_text() for file in files)
