"""The local stack while it runs; it is stopped and restarted in test_arrival.py."""

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from e2e.local_stack import Stack
from failing_run import fail_on_purpose

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # each wait has its own timeout
]


def components(stack: Stack) -> set[int]:
    """Returns the processes that start.sh started, without their children."""
    return {
        p.pid for p in stack.processes() if p.name() != "postgres" and os.getsid(p.pid) == p.pid
    }


def test_start_twice_is_harmless(stack: Stack) -> None:
    """A second start finds everything running and changes nothing."""
    before = components(stack)
    assert len(before) == 4
    assert stack.is_up()
    assert components(stack) == before


def test_only_the_owner_has_access(stack: Stack) -> None:
    """Others cannot reach secrets, logs or the socket, which requires no password."""
    server = (stack.local / "postgres" / "socket").readlink()
    for folder in (stack.local / "airflow", stack.local / "logs", server):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_a_failing_test_leaves_what_explains_it(
    stack: Stack, loaded: dict[str, Any], tmp_path: Path
) -> None:
    """Its message names a folder with the logs of components and tasks, and the ledger."""
    failure = fail_on_purpose(tmp_path, stack)
    left = failure / "1_Stack"
    assert loaded["run_id"] in (left / "pipeline_runs.json").read_text()
    assert loaded["run_id"] in (left / "task_instances.json").read_text()
    assert (left / "components" / "scheduler.log").stat().st_size > 0
    assert (left / "postgres.log").stat().st_size > 0
    assert any("stage done" in log.read_text() for log in left.glob("tasks/**/*.log"))
    assert list(left.glob("*.error")) == []
    shutil.rmtree(failure)
