"""Which code this is."""

import subprocess
from pathlib import Path

VERSION = "0.1.0.dev0"
"""The release that CHANGELOG.md describes; with `.dev0`, the one that it calls unreleased."""

_PROJECT = Path(__file__).resolve().parents[2]


def describe() -> str:
    """The version, and the commit if this is a checkout."""
    commit = find_commit()
    return f"{VERSION} (commit {commit})" if commit else VERSION


def find_commit() -> str | None:
    """The commit of the checkout, marked if files have been changed; None without a repository."""
    if not (_PROJECT / ".git").exists():
        return None
    command = ["git", "-C", str(_PROJECT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:  # there is no git
        return None
    return done.stdout.strip() or None
