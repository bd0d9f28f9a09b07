"""What users can do with the scripts besides triggering and watching a run."""

import csv
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from e2e.local_stack import ROOT, SAMPLE, Stack

pytestmark = [pytest.mark.xdist_group("runs"), pytest.mark.usefixtures("loaded")]

OF_ANOTHER_SERVER = {
    "PGHOST": "nowhere",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c DateStyle=German -c extra_float_digits=-15",
}


def run(
    stack: Stack, *command: str | Path, text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script with a text on standard input."""
    return subprocess.run(
        [ROOT / "scripts" / command[0], *command[1:]],
        env=stack.environment | environment,
        cwd="/",
        input=text,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def on_terminal(stack: Stack, columns: int, *command: str) -> str:
    """Run a script on a terminal; returns what it prints."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [ROOT / "scripts" / command[0], *command[1:]],
        env=stack.environment | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed = b""
    try:
        while block := os.read(ours, 65536):
            printed += block
    except OSError:  # the script has ended
        pass
    os.close(ours)
    assert process.wait(60) == 0, printed
    return printed.decode()


def test_command_line_finds_the_database(stack: Stack) -> None:
    """It loads as the writer, whatever the environment says of other servers."""
    done = run(stack, "features.sh", "run", SAMPLE, "--force", **OF_ANOTHER_SERVER)
    assert done.returncode == 0, done.stderr
    (run_id,) = re.findall(r"run_id +(\S+)", done.stdout)
    (entry,) = stack.query(
        "select trigger, status from features.pipeline_runs where run_id = %s", run_id
    )
    assert entry == {"trigger": "cli", "status": "loaded"}
    elsewhere = run(stack, "features.sh", "run", SAMPLE, DATABASE_URL="postgresql:///x?host=/no")
    assert (elsewhere.returncode, "/no" in elsewhere.stderr) == (3, True)


@pytest.mark.parametrize(
    ("arguments", "text", "printed"),
    [
        (["select 'ü' as a, 2 as b"], "", " a | b \n---+---\n ü | 2\n(1 row)\n\n"),
        (["select 'ü' as a, 2 as b", "--csv"], "", "a,b\nü,2\n"),
        (["--csv"], "select 1 as a;\nselect null as b", "a\n1\nb\n\n"),
        (["-tA"], "select current_user", "features_reader\n"),
        (["-tA", "-c", "select date '2026-11-28', 0.1::float8"], "", "2026-11-28|0.1\n"),
    ],
    ids=["argument", "CSV", "pipe", "options and pipe", "options"],
)
def test_queries_run(stack: Stack, arguments: list[str], text: str, printed: str) -> None:
    """SQL may be an argument, come from a pipe, or be left to psql."""
    done = run(stack, "query_features.sh", *arguments, text=text, **OF_ANOTHER_SERVER)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")


@pytest.mark.parametrize(("arguments", "text"), [(["select a"], ""), ([], "select a; select 1")])
def test_a_wrong_query_fails(stack: Stack, arguments: list[str], text: str) -> None:
    """The error is printed, and the exit status says so."""
    done = run(stack, "query_features.sh", *arguments, text=text)
    assert (done.returncode, done.stdout) == (3, "")
    assert 'column "a" does not exist' in done.stderr


@pytest.mark.parametrize("preset", ["users", "compounds", "issues", "changes", "runs"])
def test_presets(stack: Stack, preset: str) -> None:
    """Each is documented, and prints a table or CSV."""
    usage = run(stack, "query_features.sh", "--help").stdout
    assert re.search(rf"^  {preset} ", usage, re.MULTILINE)
    table = run(stack, "query_features.sh", preset)
    rows = list(csv.reader(run(stack, "query_features.sh", preset, "--csv").stdout.splitlines()))
    assert len({len(row) for row in rows}) == 1
    assert f"({len(rows) - 1} row" in table.stdout


def test_an_unknown_preset_is_wrong_usage(stack: Stack) -> None:
    """A single word is not SQL."""
    done = run(stack, "query_features.sh", "user")
    assert (done.returncode, done.stderr[:25]) == (1, "query_features.sh: usage:")


def test_nothing_is_cut_on_a_narrow_terminal(stack: Stack, loaded: dict[str, Any]) -> None:
    """With 40 columns, each value of the report has a line of its own."""
    printed = on_terminal(stack, 40, "query_features.sh").replace("\r", "")
    assert max(map(len, printed.splitlines())) <= 50  # headers are longer than the terminal is wide
    assert printed.count("\ntotal_experiments ") == loaded["users"]


def test_control_c_leaves_the_run_alone(stack: Stack) -> None:
    """The script says that the run is still in progress, and where; the run succeeds."""
    with stack.paused():  # so that the run cannot end before the script is interrupted
        process = subprocess.Popen(
            [ROOT / "scripts" / "trigger_etl.sh"],
            env=stack.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stderr
        run_id = process.stderr.readline().split()[-1]
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    page = f"{stack.url}/dags/experiment_features/runs/{run_id}"
    assert errors.endswith(
        f"trigger_etl.sh: interrupted, but the run is still in progress: {page}\n"
    )
    assert stack.wait_for_run(run_id)["state"] == "success"
