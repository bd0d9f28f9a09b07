"""The commands in the README work as written."""

import json
import re
import subprocess
from typing import Any

import pytest

from e2e.local_stack import ROOT, Stack
from readme import README, commands, objects

pytestmark = [
    pytest.mark.xdist_group("runs"),
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # each wait has its own timeout
]


def type_in(stack: Stack, script: str) -> str:
    """Run commands in the project's folder and return what they print."""
    script = script.replace("http://127.0.0.1:8080", stack.url).replace(
        ".local/", f"{stack.local}/"
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=stack.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo_shows_everything(stack: Stack, loaded: dict[str, Any]) -> None:
    """The demo shows the result, the features and how to open the UI, and fits a terminal."""
    done = stack.run("demo.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) < 120
    picture = re.findall(r"^```text\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[0]
    table = [line for line in picture.splitlines() if " | " in line]
    assert len(table) > 2
    assert set(table) <= {line.rstrip() for line in lines}
    (result,) = objects(done.stdout)
    assert result["users"] == loaded["users"]
    assert f"({loaded['users']} rows)" in lines
    password = stack.password()
    told = [" ".join(line.split()) for line in lines[-4:]]
    assert told[0].endswith(f"Airflow's UI runs at {stack.url}")
    assert told[1:3] == ["user admin", f"password {password}"]


def test_scripts(stack: Stack, loaded: dict[str, Any]) -> None:
    """The script examples work."""
    printed = type_in(stack, commands("With the scripts"))
    assert [result["status"] for result in objects(printed)] == ["unchanged", "loaded"]
    assert f"({loaded['users']} rows)" in printed
    assert f"({loaded['compounds']} rows)" in printed


def test_curl(stack: Stack, loaded: dict[str, Any]) -> None:
    """The curl examples log in, start a run, wait for it, and get its state and result."""
    run, *waited, state, result = objects(type_in(stack, commands("With curl")))
    assert run["state"] == "queued"
    assert {line["state"] for line in waited[:-1]} <= {"queued", "running"}
    assert waited[-1]["state"] == state["state"] == "success"
    assert waited[-1]["results"]["load"] == result["value"]
    assert result["value"]["run_id"] == run["dag_run_id"]
    assert result["value"]["users"] == loaded["users"]
    (entry,) = stack.query(
        "select trigger from features.pipeline_runs where run_id = %s", run["dag_run_id"]
    )
    assert entry["trigger"] == "api"


def test_command_line(stack: Stack, loaded: dict[str, Any]) -> None:
    """The examples without Airflow do a dry run, migrate, and load into the stack's database."""
    printed = type_in(stack, commands("Without Airflow"))
    assert re.search(r"status +dry run", printed)
    result = json.loads(printed.splitlines()[-1])
    assert result["status"] in ("loaded", "unchanged")
    assert result["users"] == loaded["users"]


def test_issues_are_shown(stack: Stack) -> None:
    """The example lists issues to a role that may not read the rows."""
    printed = type_in(stack, commands("Bad input"))
    assert "name is missing" in printed
