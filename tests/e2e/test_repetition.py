"""Tasks that are cleared or killed, which can happen at any time."""

from typing import Any

import psutil
import pytest

from e2e.local_stack import DAG, SAMPLE, Stack
from waiting import wait_until

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.timeout(900),
]


def clear(stack: Stack, run_id: str, task: str) -> dict[str, Any]:
    """Clears a task and all downstream, waits for the run, and returns its result."""
    body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task], "only_failed": False}
    cleared = stack.call(
        f"{DAG}/clearTaskInstances", body | {"include_downstream": True}, cookie=stack.token()
    )
    assert {one["task_id"] for one in cleared["task_instances"]} >= {task, "load"}
    end = stack.wait_for_run(run_id)
    assert end["state"] == "success"
    result: dict[str, Any] = end["results"]["load"]
    return result


def test_cleared_tasks_give_the_same_result(stack: Stack, loaded: dict[str, Any]) -> None:
    """Clearing tasks of the last loaded run writes neither features nor the ledger."""
    assert loaded["status"] == "loaded"
    first = stack.trigger(SAMPLE, "--conf", '{"force": true}')
    before = stack.features(), stack.ledger()
    for task in ("load", "transform"):
        again = clear(stack, first["run_id"], task)
        assert again | {"seconds": 0} == first | {"seconds": 0}, task
        assert (stack.features(), stack.ledger()) == before, task
    tries = {"extract": 1, "validate": 1, "transform": 2, "load": 3}
    assert stack.tries(first["run_id"]) == tries


@pytest.mark.usefixtures("loaded")
def test_a_killed_task_is_retried(stack: Stack) -> None:
    """If the load is killed by SIGKILL, the next try has the same result."""
    before = stack.features()
    with stack.connect("features_writer", "experiment_features") as holder:
        holder.execute("begin")
        holder.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
        trigger = stack.start_trigger(SAMPLE, "--conf", '{"force": true}')
        task = find_loading_task(stack)
        task.kill()
        task.wait(30)
        holder.execute("rollback")
    result = stack.finish(trigger)
    assert (result["status"], result["updated"], result["inserted"]) == ("loaded", 0, 0)
    assert stack.features() == before
    assert stack.tries(result["run_id"]) == {"extract": 1, "validate": 1, "transform": 1, "load": 2}


@pytest.mark.usefixtures("loaded")
def test_a_run_that_died_is_ended_in_the_ledger(stack: Stack) -> None:
    """If the last try is killed, Airflow calls nothing of the task's, only the DAG's callback."""
    before = stack.features()
    with stack.connect("features_writer", "experiment_features") as holder:
        holder.execute("begin")
        holder.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
        with stack.paused():
            trigger = stack.start_trigger(SAMPLE, "--conf", '{"force": true}')
            wait_until("the run has its tasks", lambda: leave_one_try(stack))
        task = find_loading_task(stack)
        task.kill()
        task.wait(30)
        holder.execute("rollback")
    assert trigger.wait(120) == 1
    last = "select status, task, error from features.pipeline_runs order by started_at desc limit 1"
    wait_until("the ledger says so", lambda: stack.query(last)[0]["status"] != "running")
    assert stack.query(last) == [{"status": "failed", "task": "load", "error": "PipelineError"}]
    assert stack.features() == before


def leave_one_try(stack: Stack) -> int:
    """Takes the retries from a load that has not begun; gives the number of such loads."""
    with stack.connect("airflow", "airflow") as airflow:
        waiting = "update task_instance set max_tries = 0 where task_id = 'load' and state is null"
        return airflow.execute(waiting).rowcount


def find_loading_task(stack: Stack) -> psutil.Process:
    """Returns the process of the `load` task, which is waiting for the load lock."""
    running = "select id::text from task_instance where task_id = 'load' and state = 'running'"
    stack.wait_for_waiting_load()
    (task,) = stack.ask_airflow(running)
    title = f"airflow worker -- {task['id']}"  # that of its supervisor also has the executor's name
    return next(p for p in stack.processes() if " ".join(p.cmdline()).strip() == title)
