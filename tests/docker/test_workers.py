"""The profile celery: tasks on workers of their own, of which one may die.

The last tests of the stack, which therefore need not go back to what it was.
"""

import json

import pytest

from docker.container_stack import ContainerStack, docker, finish

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded", "workers"),
]

PROFILE = {"COMPOSE_PROFILES": "celery"}


@pytest.fixture(scope="module")
def workers(stack: ContainerStack) -> None:
    """The stack with a queue and two workers."""
    stack.bring_up("redis", "worker", "scheduler", **PROFILE)


def hosts(stack: ContainerStack, run_id: str) -> dict[str, str]:
    """Where each task of a run was tried last."""
    query = "select task_id, hostname from task_instance where run_id = {run_id}"
    return {
        task["task_id"]: task["hostname"] for task in stack.query(query, "airflow", run_id=run_id)
    }


def names(stack: ContainerStack) -> dict[str, str]:
    """The containers of the workers, by host name."""
    containers = [f"{stack.project}-worker-{number}" for number in (1, 2)]
    found = json.loads(docker("inspect", *containers))
    return {container["Config"]["Hostname"]: container["Name"][1:] for container in found}


def test_tasks_of_a_run_on_two_workers(stack: ContainerStack) -> None:
    """Whichever is free takes the next one, and finds what the other has left."""
    before, seen = stack.features(), set[str]()
    for _ in range(4):  # one worker may be the faster one, but not four times in turn
        result = stack.trigger("--conf", '{"force": true}')
        assert (result["status"], result["updated"]) == ("loaded", 0)
        found = set(hosts(stack, result["run_id"]).values())
        assert found <= set(names(stack))
        seen |= found
        if len(found) == 2:
            break
    assert len(seen) == 2
    assert stack.features() == before


def test_worker_that_dies_in_a_task(stack: ContainerStack) -> None:
    """The other one does it again: the task's try is over a minute after its last sign of life."""
    before = stack.features()
    with stack.waiting_load() as trigger:
        running = "select run_id, hostname from task_instance where state = 'running'"
        (task,) = stack.query(running, "airflow")
        docker("kill", names(stack)[task["hostname"]])
    assert finish(trigger)["run_id"] == task["run_id"]
    others = set(names(stack)) - {task["hostname"]}
    assert {hosts(stack, task["run_id"])["load"]} == others
    assert stack.features() == before


def test_worker_has_no_key_to_airflow(stack: ContainerStack) -> None:
    """It has what the tasks need: the role that writes features, and the queue."""
    secrets = stack.compose("exec", "-T", "worker", "ls", "/run/secrets", **PROFILE)
    assert secrets.split() == ["features_writer_password", "redis_password"]


def test_workers_and_queue_show_no_secret(stack: ContainerStack) -> None:
    """Neither to those who look at the containers, nor in what they say."""
    told = docker("inspect", *names(stack).values(), stack.container("redis"))
    told += stack.compose("logs", "--no-color", "worker", "redis", **PROFILE)
    assert "celery@" in told
    for name in ("redis_password", "features_writer_password"):
        assert stack.secret(name) not in told


def test_queue_asks_for_a_password(stack: ContainerStack) -> None:
    """Whoever could write to it could have the workers do anything."""
    ask = ("exec", "-T", "redis", "redis-cli", "keys", "*")
    assert "NOAUTH" in stack.compose(*ask, **PROFILE)
