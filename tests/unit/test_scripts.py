"""The scripts explain their usage, and the README mentions them."""

import os
import re
import shlex
import shutil
import socket
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


def test_the_readme_allows_a_folder_beside_the_sample(tmp_path: Path) -> None:
    """As the scripts read the line that it adds to .env."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (line,) = re.findall(r"^echo .*>>\.env$", README, re.MULTILINE)
    show = 'source scripts/local_env.sh; printf %s "$EXPERIMENT_FEATURES_SOURCE_ROOTS"'
    done = subprocess.run(
        ["bash", "-c", f"{line}\n{show}"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path}/include/data,/data/drops"


def test_scripts_are_called_by_a_relative_path() -> None:
    """Even if cd says where it goes, as it does with CDPATH."""
    done = subprocess.run(
        ["scripts/stop.sh", "--now"],
        cwd=ROOT,
        env={**os.environ, "CDPATH": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "stop.sh: usage: scripts/stop.sh [--quiet]\n"


def test_no_script_reads_a_setting_before_the_file() -> None:
    """Every script that has settings reads .env first, so that all agree on them."""
    setting = re.compile(r"\$\{?(?:AIRFLOW_(?:PORT|U)|EXPERIMENT_FEATURES_|DATABASE_URL|PYTHON\b)")
    for script in ROOT.glob("scripts/*.sh"):
        text = re.sub(r"^#.*", "", script.read_text(), flags=re.MULTILINE)
        before, source, _ = text.partition('/local_env.sh"')
        assert not (source and setting.search(before)), script


@pytest.mark.parametrize("installed", ["", "unfinished s3\nPYTHON=\n"])
@pytest.mark.parametrize(("command", "status"), [("start.sh", 3), ("features.sh check any", 2)])
def test_a_fresh_clone_is_set_up(command: str, status: int, installed: str, tmp_path: Path) -> None:
    """Without .venv, or half of it, scripts call setup.sh first, whose output is no result."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    if installed:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / "installed").write_text(installed)
    setup = tmp_path / "scripts" / "setup.sh"
    setup.write_text("#!/bin/sh\necho setting up\nexit 3\n")
    script, *arguments = command.split()
    done = subprocess.run(
        [tmp_path / "scripts" / script, *arguments],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = ("setting up\n", "") if script == "start.sh" else ("", "setting up\n")
    assert (done.returncode, done.stdout, done.stderr) == (status, *said)


def test_the_port_may_stand_in_the_file(tmp_path: Path) -> None:
    """start.sh listens where .env says, and the other scripts look for it there."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "scripts" / "setup.sh").write_text("#!/bin/sh\n")
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / ".env").write_text(f'AIRFLOW_PORT="{port}" # for the laboratory\n')

        def run(*command: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                env={"PATH": "/usr/bin:/bin"},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )

        started = run("scripts/start.sh")
        url = run("bash", "-c", "source scripts/local_env.sh; echo $airflow_url")
    assert started.stderr.startswith(f"start.sh: port {port} is taken")
    assert url.stdout == f"http://127.0.0.1:{port}\n"


def test_the_port_of_a_running_stack_is_the_one_on_record(tmp_path: Path) -> None:
    """A stack that was started with another setting is found; a new one takes the setting."""
    (tmp_path / "port").write_text("18111\n")
    show = f"source {ROOT}/scripts/local_env.sh; echo $airflow_url $AIRFLOW_PORT"
    environment = {"PATH": "/usr/bin:/bin", "AIRFLOW_PORT": "18110"}
    environment["EXPERIMENT_FEATURES_LOCAL"] = str(tmp_path)
    shown = subprocess.run(
        ["bash", "-c", show], env=environment, capture_output=True, text=True, check=False
    )
    assert shown.stdout == "http://127.0.0.1:18111 18110\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("run any", 2, "no stack is running: start one with scripts/start.sh"),
        ("migrate", 2, "or give --database-url"),
        ("check /nowhere", 1, "/nowhere"),
        ("run /nowhere --dry-run", 1, "/nowhere"),
        ("run --help", 0, ""),
        ("--version", 0, ""),
        ("migrate --database-url=postgresql:///any?host=/nowhere", 3, "/nowhere"),
    ],
)
def test_the_command_line_without_a_stack(
    arguments: str, status: int, message: str, tmp_path: Path
) -> None:
    """features.sh says how to start a stack, unless the command does without one."""
    environment = {"PATH": "/usr/bin:/bin", "EXPERIMENT_FEATURES_TARGET": "local"}
    environment["EXPERIMENT_FEATURES_LOCAL"] = str(tmp_path)
    done = subprocess.run(
        [ROOT / "scripts" / "features.sh", *arguments.split()],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == bool(message)


@pytest.mark.parametrize(
    ("message", "conf", "way"),
    [
        (
            "more rows are faulty than max_rejected_percent (5) allows: users 4.8% (2 of 42 rows), compounds 17.7% (3 of 17 rows)",
            "{}",
            """: --conf '{"max_rejected_percent": 18}'""",
        ),
        (
            "more rows are faulty than max_rejected_percent (5) allows: users 100.0% (2 of 2 rows)",
            '{"max_rejected_percent": 5}',
            """: --conf '{"max_rejected_percent": 100}'""",
        ),
        (
            "180 of 200 users (90 %) would go, more than max_removed_percent 20 allows; if that is right: run /data/drops/2026-11-22 with max_removed_percent 100",
            '{"allow_empty": true}',
            """: --conf '{"allow_empty": true, "max_removed_percent": 100}'""",
        ),
        ("users.csv: 3 of 4 rows (75 %) have no name", "{}", ""),
        ("max_removed_percent is nan: expected a number from 0 to 100", "{}", ""),
    ],
    ids=["rejected", "all rejected", "held", "no limit", "no percentage"],
)
def test_a_limit_that_refuses_comes_with_the_way_to_raise_it(
    message: str, conf: str, way: str
) -> None:
    """trigger_etl.sh adds the option that lets the drop in; the other parameters stay."""
    script = (ROOT / "scripts" / "trigger_etl.sh").read_text()
    (function,) = re.findall(r"^how_to_allow\(\) \{.*?^\}", script, re.DOTALL | re.MULTILINE)
    values = f"python={shlex.quote(sys.executable)} conf={shlex.quote(conf)}"
    command = ["bash", "-euc", f'{values}\n{function}\nhow_to_allow "$1"', "bash", message]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == way
