"""Standard output and standard error that are full, closed, or limited to ASCII."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cases import first_or_all, left_to_ci
from integration.running import make_drop

ROOT = Path(__file__).parents[2]

GOOD = make_drop({1: "Ann"}, [(1, "1", "1")])
REFUSED = make_drop({1: "Zoë", 2: ""}, [(1, "実", "1")])


def run_command(
    command: str, redirection: str, drop: Path, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command on a drop in a shell that redirects its output."""
    return subprocess.run(
        [
            *("bash", "-c", f'"$@" {redirection}; exit "${{PIPESTATUS[0]}}"', "bash"),
            *(sys.executable, "-m", "experiment_features", *command.split(), drop),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "include"), **environment},
        check=False,
        capture_output=True,
    )


FULL = "failed: the result cannot be written to standard output (No space left"


@pytest.mark.parametrize(
    ("command", "redirection", "status", "told"),
    [
        ("check", ">/dev/full", 4, FULL),
        ("check", "| true", 0, ""),
        ("run --dry-run --json", ">&- 2>&-", 0, ""),
        *left_to_ci(
            ("check", ">&-", 0, ""),
            ("check", "2>&-", 0, ""),
            ("run --dry-run --json", ">/dev/full", 4, FULL),
        ),
    ],
)
def test_the_status_says_what_became_of_the_drop(
    command: str, redirection: str, status: int, told: str, tmp_path: Path
) -> None:
    """Output that goes nowhere is no failure; a result that is lost on a full disk is one."""
    done = run_command(command, redirection, GOOD.write(tmp_path))
    assert (done.returncode, len(done.stderr.splitlines())) == (status, 1 if told else 0)
    assert done.stderr.decode().startswith(told)


@pytest.mark.parametrize(
    ("drop", "redirection"),
    first_or_all(("rejected", "| true"), ("rejected", ">&-"), ("none", "2>/dev/full")),
)
def test_a_refusal_stays_one(drop: str, redirection: str, tmp_path: Path) -> None:
    """Its status does not depend on who reads the reason."""
    REFUSED.write(tmp_path / "rejected")
    done = run_command("check", redirection, tmp_path / drop)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=lambda environment: " ".join(environment),
)
def test_what_a_stream_cannot_take_is_escaped(environment: dict[str, str], tmp_path: Path) -> None:
    """The program's own files are read as UTF-8 whatever the locale."""
    done = run_command("check", "", REFUSED.write(tmp_path), **environment)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"user_experiments.csv:2 \\u5b9f" in done.stdout


def test_places_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """A folder for temporary files that is not UTF-8, and a current folder that is gone."""
    drop, odd, gone = (
        GOOD.write(tmp_path / "drop"),
        os.fsencode(tmp_path) + b"/\xff",
        tmp_path / "x",
    )
    os.mkdir(odd)  # noqa: PTH102 - not UTF-8
    done = run_command("check", "", drop, TMPDIR=os.fsdecode(odd))
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"/\\udcff/experiment_features_" in done.stderr
    assert b"is not UTF-8: set TMPDIR to another" in done.stderr
    pattern = tmp_path / r"a\b[c]"
    pattern.mkdir()
    done = run_command("check", "", drop, TMPDIR=str(pattern))
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"which DuckDB cannot read: set TMPDIR to another" in done.stderr
    assert list(pattern.iterdir()) == []
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && exec "$2" -m experiment_features check here'
    done = subprocess.run(
        ["bash", "-c", script, "bash", gone, sys.executable],
        env={**os.environ, "PYTHONPATH": str(ROOT / "include")},
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"give the source's absolute path" in done.stderr
