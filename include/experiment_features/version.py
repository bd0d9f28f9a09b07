"""Which code this is."""

import hashlib
import os
import subprocess
from functools import cache
from pathlib import Path

VERSION = "0.1.0.dev0"
"""The release that CHANGELOG.md describes; with `.dev0`, the one that it calls unreleased."""

COMMIT_VARIABLE = "EXPERIMENT_FEATURES_COMMIT"
"""Set in the image, which has no repository: see the Dockerfile."""

_PROJECT = Path(__file__).resolve().parents[2]


def describe() -> str:
    """The version, and the commit if this is a checkout."""
    commit = find_commit()
    return f"{VERSION} (commit {commit})" if commit else VERSION


@cache
def find_commit() -> str | None:
    """The commit of the checkout, marked ``-dirty`` if files of it have been changed.

    Without a repository, the one that the image was built from; None if that is not known either.
    """
    if not (_PROJECT / ".git").exists():
        return os.environ.get(COMMIT_VARIABLE) or None
    git = ["git", "-C", str(_PROJECT)]
    command = [*git, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:  # there is no git
        return None
    return done.stdout.strip() or None


@cache
def find_lock() -> str | None:
    """The sha256 of requirements.txt, which locks all libraries; None if it cannot be read."""
    try:
        return hashlib.sha256((_PROJECT / "requirements.txt").read_bytes()).hexdigest()
    except OSError:
        return None
