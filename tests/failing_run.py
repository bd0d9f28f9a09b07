"""Runs a test that fails on purpose, to see what it leaves."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

TEST = """
from pathlib import PosixPath

import pytest

import evidence
from {module} import {kind}


@pytest.fixture
def stack():
    evidence.WITNESSES.append({stack!r})
    return evidence.WITNESSES[-1]


def test_fails({fixtures}):
    {line}
    assert False, "on purpose"
"""


def fail_on_purpose(folder: Path, stack: Any, *, visits: str = "") -> Path:
    """Fails a test of a running stack, by request in the browser; returns the folder it names."""
    kind = type(stack)
    names = {"module": kind.__module__, "kind": kind.__name__, "stack": stack}
    line = f"visit('admin').open({visits!r})" if visits else "pass"
    # Its own name: tests of this kind run at the same time, and folders are named after tests.
    test = folder / f"test_failing_{os.getpid()}.py"
    test.write_text(TEST.format(**names, fixtures="stack, visit" if visits else "stack", line=line))
    paths = [ROOT, *(ROOT / name for name in ("include", "plugins", "tests", "scripts"))]
    plugins = ["-p", "conftest", *(["-p", "browser.conftest"] if visits else [])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", *plugins, test],
        env=os.environ | {"PYTHONPATH": ":".join(map(str, paths))},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    (named,) = re.findall(r"^E +Logs, runs and tasks: (.+)$", done.stdout, re.MULTILINE)
    return Path(named)
