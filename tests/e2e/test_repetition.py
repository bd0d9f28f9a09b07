"""What Airflow may do to a run's tasks at any time: clear them, or lose their process."""

import json
import time
import urllib.parse
from typing import Any

import psutil
import pytest

from e2e.local_stack import SAMPLE, Stack

pytestmark = pytest.mark.xdist_group("stack")

DAG = "/api/v2/dags/experiment_features"


def clear(stack: Stack, run_id: str, task: str) -> dict[str, Any]:
    """Clears a task with all behind it, waits for the run, and returns its result."""
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task], "only_failed": False}
    token = stack.token()
    cleared = stack.call(
        f"{DAG}/clearTaskInstances", body | {"include_downstream": True}, cookie=token
    )
    assert {one["task_id"] for one in cleared["task_instances"]} >= {task, "load"}
    path = f"{DAG}/dagRuns/{urllib.parse.quote(run_id)}/wait?interval=1&result=load"
    end = stack.call(path, cookie=token)
    assert end["state"] == "success"
    result: dict[str, Any] = end["results"]["load"]
    return result


def ledger(stack: Stack) -> list[dict[str, Any]]:
    """All runs on record."""
    return stack.query("select * from features.pipeline_runs order by run_id")


@pytest.mark.parametrize("task", ["load", "transform"])
def test_cleared_tasks_give_the_same_result(
    task: str, stack: Stack, loaded: dict[str, Any]
) -> None:
    """Of the run that made the last load: neither a feature nor the ledger is written."""
    assert loaded["status"] == "loaded"
    first = stack.trigger(SAMPLE, "--conf", '{"force": true}')
    before = stack.features(), ledger(stack)
    again = clear(stack, first["run_id"], task)
    assert again | {"seconds": 0} == first | {"seconds": 0}
    assert (stack.features(), ledger(stack)) == before
    assert stack.tries(first["run_id"])[task] == 2


@pytest.mark.usefixtures("loaded")
def test_a_task_that_is_killed_is_tried_again(stack: Stack) -> None:
    """In the midst of the load, by SIGKILL: the next try has the same result."""
    before = stack.features()
    with stack.connect("features_writer", "experiment_features") as holder:
        holder.execute("begin")
        holder.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
        trigger = stack.start_trigger("--conf", '{"force": true}')
        task = find_loading_task(stack)
        task.kill()
        task.wait(30)
        holder.execute("rollback")
    output, log = trigger.communicate(timeout=200)
    assert trigger.returncode == 0, log
    result = json.loads(output.splitlines()[-1])
    assert (result["status"], result["updated"], result["inserted"]) == ("loaded", 0, 0)
    assert stack.features() == before
    assert stack.tries(result["run_id"]) == {"extract": 1, "validate": 1, "transform": 1, "load": 2}


def find_loading_task(stack: Stack) -> psutil.Process:
    """The process of the task `load` that waits for the load lock."""
    waiting = "select from pg_stat_activity where wait_event = 'advisory'"
    running = "select id::text from task_instance where task_id = 'load' and state = 'running'"
    deadline = time.monotonic() + 120
    with (
        stack.connect("postgres", "postgres") as server,
        stack.connect("airflow", "airflow") as airflow,
    ):
        while not server.execute(waiting).rowcount:
            assert time.monotonic() < deadline, "no load waits for the lock after 120 s"
            time.sleep(0.1)
        (task,) = airflow.execute(running).fetchall()
    title = f"airflow worker -- {task['id']}"  # its supervisor's holds the executor's name, too
    return next(p for p in stack.processes() if " ".join(p.cmdline()).strip() == title)
