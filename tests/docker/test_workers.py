"""The profile celery: tasks run on separate workers, one of which may die.

These tests are the last to use the stack, so they do not restore it.
"""

import json

import pytest

from docker.container_stack import CELERY, TASK_IS_DEAD, ContainerStack, docker
from e2e.local_stack import SAMPLE

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded", "workers"),
]


@pytest.fixture(scope="module")
def workers(stack: ContainerStack) -> dict[str, str]:
    """Adds what is missing of a queue and two workers; gives the secrets from before."""
    secrets = {path.name: path.read_text() for path in stack.secrets.iterdir()}
    stack.start(**CELERY)
    return secrets


def test_a_second_start_keeps_the_secrets(stack: ContainerStack, workers: dict[str, str]) -> None:
    """A start of a running stack with other settings changes no secret."""
    assert workers == {path.name: path.read_text() for path in stack.secrets.iterdir()}


def hosts(stack: ContainerStack, run_id: str) -> dict[str, str]:
    """Return the host of each task's last try in a run."""
    query = "select task_id, hostname from task_instance where run_id = {run_id}"
    return {
        task["task_id"]: task["hostname"] for task in stack.query(query, "airflow", run_id=run_id)
    }


def names(stack: ContainerStack) -> dict[str, str]:
    """Return the workers' containers by host name."""
    containers = [f"{stack.project}-worker-{number}" for number in (1, 2)]
    found = json.loads(docker("inspect", *containers))
    return {container["Config"]["Hostname"]: container["Name"][1:] for container in found}


def test_tasks_of_a_run_on_two_workers(stack: ContainerStack) -> None:
    """A run's tasks are spread over both workers, which share its files."""
    before, seen = stack.features(), set[str]()
    for _ in range(4):  # one worker may be faster, but not in four runs
        result = stack.trigger(SAMPLE, "--conf", '{"force": true}')
        assert (result["status"], result["updated"]) == ("loaded", 0)
        found = set(hosts(stack, result["run_id"]).values())
        assert found <= set(names(stack))
        seen |= found
        if len(found) == 2:
            break
    assert len(seen) == 2
    assert stack.features() == before


def test_worker_that_dies_in_a_task(stack: ContainerStack) -> None:
    """A minute after the last heartbeat of a dead worker's task, another worker retries it."""
    before = stack.features()
    with stack.waiting_load() as trigger:
        running = "select run_id, hostname from task_instance where state = 'running'"
        (task,) = stack.query(running, "airflow")
        docker("kill", names(stack)[task["hostname"]])
    stack.make_time_pass(TASK_IS_DEAD, host=task["hostname"])
    assert stack.finish(trigger)["run_id"] == task["run_id"]
    others = set(names(stack)) - {task["hostname"]}
    assert {hosts(stack, task["run_id"])["load"]} == others
    assert stack.features() == before


def test_worker_has_no_key_to_airflow(stack: ContainerStack) -> None:
    """A worker has only the passwords of the queue and of the role that writes features."""
    secrets = stack.compose("exec", "-T", "worker", "ls", "/run/secrets", **CELERY)
    assert secrets.split() == ["features_writer_password", "redis_password"]


def test_workers_and_queue_show_no_secret(stack: ContainerStack) -> None:
    """Neither `docker inspect` nor the logs of workers and queue show a secret."""
    told = docker("inspect", *names(stack).values(), stack.container("redis"))
    told += stack.compose("logs", "--no-color", "worker", "redis", **CELERY)
    assert "celery@" in told
    for name in ("redis_password", "features_writer_password"):
        assert stack.secret(name) not in told


def test_queue_asks_for_a_password(stack: ContainerStack) -> None:
    """The queue, which controls what the workers run, requires a password."""
    ask = ("exec", "-T", "redis", "redis-cli", "keys", "*")
    assert "NOAUTH" in stack.compose(*ask, **CELERY)
