"""What happens when parts of the stack die during a run: it ends in a whole state, without hands."""

import json
import subprocess

import pytest

from docker.container_stack import ROOT, ContainerStack, docker, wait_until

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]


def finish(trigger: subprocess.Popen[str]) -> str:
    """Wait for a run, which must succeed; return its status."""
    output, log = trigger.communicate(timeout=600)
    assert trigger.returncode == 0, log
    status: str = json.loads(output.splitlines()[-1])["status"]
    return status


@pytest.mark.parametrize("service", ["scheduler", "api-server", "postgres"])
def test_service_that_dies_during_a_run(stack: ContainerStack, service: str) -> None:
    """It is started again, the run goes on, and the features are as they were."""
    before, restarts = stack.features(), stack.state(service)["RestartCount"]
    trigger = stack.start_trigger("--conf", '{"force": true}')
    stack.wait_for_task("running")
    stack.crash(service)
    assert finish(trigger) == "loaded"
    stack.wait_for_restart(service, restarts)
    assert stack.features() == before


def test_process_of_a_task_that_dies(stack: ContainerStack) -> None:
    """The task is tried again."""
    before = stack.features()
    trigger = stack.start_trigger("--conf", '{"force": true}')
    stack.wait_for_task("running")
    stack.kill_task()
    assert finish(trigger) == "loaded"
    assert stack.features() == before
    tries = stack.query("select max(try_number) as most from task_instance", "airflow")
    assert tries[0]["most"] > 1


def test_disk_that_is_full_for_a_while(stack: ContainerStack) -> None:
    """The task fails with what is the matter, and is tried again until there is room."""
    files = f"{ROOT}/docker-compose.yaml:{ROOT}/tests/docker/small_workspaces.yaml"
    small = {"COMPOSE_FILE": files}
    up = ("up", "--detach", "--no-deps", "--wait", "--wait-timeout", "300", "scheduler")
    fill = "head -c 100M /dev/zero >/opt/airflow/workspaces/filler; rm -f {}"
    before = stack.features()
    stack.compose(*up, **small)
    try:
        stack.compose("exec", "-T", "scheduler", "bash", "-c", fill.format("nothing"))
        trigger = stack.start_trigger("--conf", '{"force": true}')
        stack.wait_for_task("up_for_retry")
        assert stack.features() == before
        log = "grep -rhoE 'No space left on device' /opt/airflow/logs | head -n 1"
        assert stack.compose("exec", "-T", "scheduler", "bash", "-c", log)
        stack.compose("exec", "-T", "scheduler", "rm", "/opt/airflow/workspaces/filler")
        assert finish(trigger) == "loaded"
        assert stack.features() == before
    finally:
        stack.compose(*up)
        docker("volume", "rm", f"{stack.project}_small-workspaces")  # `down` does not know it


def test_later_run_needs_no_hands(stack: ContainerStack) -> None:
    """After all of it, every service is healthy and a run succeeds."""
    for service in ("postgres", "api-server", "scheduler", "dag-processor", "triggerer"):
        wait_until(
            f"{service} is healthy",
            lambda name=service: stack.state(name)["State"]["Health"]["Status"] == "healthy",
        )
    assert stack.trigger("--conf", '{"force": true}')["status"] == "loaded"
