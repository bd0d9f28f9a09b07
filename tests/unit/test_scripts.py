"""The scripts explain their usage, and the README mentions them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from readme import README

ROOT = Path(__file__).parents[2]

FILES = [*ROOT.glob("scripts/*.*"), *ROOT.glob("benchmarks/*.sh"), *ROOT.glob(".ci/*")]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for path in FILES
    if (path.suffix == ".py" and 'if __name__ == "__main__"' in path.read_text())
    or (path.suffix != ".py" and path.read_text().startswith("#!"))
)
"""What users run, as opposed to what scripts source or import."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with nothing but the scripts: no .venv, and no readable settings."""
    checkout = tmp_path_factory.mktemp("checkout")
    for script in FILES:
        copy = checkout / script.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(script, copy)
    (checkout / ".env").mkdir()  # reading the settings would fail
    return checkout


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_comment_at_the_top(script: str, option: str, bare: Path) -> None:
    """Help shows the top comment, with a usage line; it needs no setup and changes nothing."""
    python = [sys.executable, "-SB"] if script.endswith(".py") else []  # without packages
    before = sorted(bare.rglob("*"))
    done = subprocess.run(
        [*python, bare / script, option],
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(bare.rglob("*")) == before
    (usage,) = [line for line in done.stdout.splitlines() if line.startswith("usage: ")]
    assert script in usage.split()
    top = (ROOT / script).read_text().replace("\n# ", "\n").replace("\n#\n", "\n\n")
    assert done.stdout in top.replace('"""', "\n")


def test_the_readme_names_every_script() -> None:
    """The README mentions exactly the shell scripts that users run."""
    named = set(re.findall(r"scripts/\w+\.sh", README))
    assert named == {script for script in SCRIPTS if re.fullmatch(r"scripts/\w+\.sh", script)}


def test_scripts_are_executable() -> None:
    """Shell scripts are executable, but not the files that they source."""
    for path in FILES:
        if path.suffix != ".py":
            called = str(path.relative_to(ROOT)) in SCRIPTS
            assert bool(path.stat().st_mode & 0o111) == called, path


def test_wrong_usage_shows_the_usage_line() -> None:
    """A wrong option prints the usage line and exits with status 1."""
    done = subprocess.run(
        [ROOT / "scripts" / "stop.sh", "--now"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "stop.sh: usage: scripts/stop.sh [--quiet]\n"
