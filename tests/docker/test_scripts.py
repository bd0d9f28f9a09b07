"""The scripts that reach into the containers."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from docker.container_stack import ContainerStack
from e2e.local_stack import SAMPLE

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]


def test_the_command_line_runs_in_the_container(stack: ContainerStack) -> None:
    """It sees the drops, finds the database, and ends with the status of the command."""
    shutil.copytree(SAMPLE, stack.drops / "by_hand")
    done = stack.run("scripts/features.sh", "run", "/drops/by_hand", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"] == "/drops/by_hand"
    refused = stack.run("scripts/features.sh", "check", "/drops/nowhere")
    assert (refused.returncode, "/drops/nowhere" in refused.stderr) == (1, True)
    migrated = stack.run("scripts/features.sh", "migrate")
    assert (migrated.returncode, "scripts/start_docker.sh" in migrated.stderr) == (2, True)


def test_an_export_is_copied_out_of_the_container(stack: ContainerStack, tmp_path: Path) -> None:
    """As docs/store.md has it; of the files that Docker copies, none is in memory."""
    folder = "/opt/airflow/workspaces/export"
    exported = stack.run("scripts/features.sh", "state", "--export", folder)
    assert exported.returncode == 0, exported.stderr
    stack.compose("cp", f"scheduler:{folder}", str(tmp_path / "export"))
    stack.compose("exec", "-T", "scheduler", "rm", "-r", folder)
    names = ["compounds.csv", "user_experiments.csv", "users.csv"]
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == names


def test_queries_reach_the_container(stack: ContainerStack) -> None:
    """SQL from a pipe, and a preset as CSV."""
    piped = stack.run("scripts/query_features.sh", text="select current_user as who")
    assert " features_reader\n" in piped.stdout
    printed = stack.run("scripts/query_features.sh", "users", "--csv").stdout
    users = stack.query("select from features.user_features")
    assert len(list(csv.DictReader(printed.splitlines()))) == len(users)
