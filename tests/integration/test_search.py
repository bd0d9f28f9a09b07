"""The long searches run, outside of the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["drops", "deltas", "histories", "kills"])
def test_a_search_finds_no_fault_in_a_case(what: str, tmp_path: Path) -> None:
    """A search checks a case without the settings of the tests, and says how it went."""
    paths = map(str, (ROOT, ROOT / "include", ROOT / "tests", ROOT / "scripts"))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(paths)}
    options = ["--count", "1", "--seed", "7", "--folder", tmp_path]
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "search.py", what, *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(("1 random ", "1 kills, ")), done.stdout
