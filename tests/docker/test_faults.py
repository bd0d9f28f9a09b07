"""If parts of the stack die during a run, it recovers without intervention."""

import pytest

from docker.container_stack import ContainerStack, wait_until
from e2e.local_stack import SAMPLE

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]


@pytest.mark.parametrize("service", ["scheduler", "api-server", "postgres"])
def test_service_that_dies_during_a_run(stack: ContainerStack, service: str) -> None:
    """The service restarts, the run succeeds, and the features stay the same."""
    before, restarts = stack.features(), stack.state(service)["RestartCount"]
    with stack.waiting_load() as trigger:
        stack.crash(service)
    stack.finish(trigger)
    stack.wait_for_restart(service, restarts)
    assert stack.features() == before


def test_process_of_a_task_that_dies(stack: ContainerStack) -> None:
    """A load that is killed is retried."""
    before = stack.features()
    with stack.waiting_load() as trigger:
        stack.kill_task()
    run_id = stack.finish(trigger)["run_id"]
    assert stack.features() == before
    query = "select task_id, try_number from task_instance where run_id = {run_id}"
    tries = stack.query(query, "airflow", run_id=run_id)
    assert {one["task_id"] for one in tries if one["try_number"] > 1} == {"load"}


def test_disk_that_is_full_for_a_while(stack: ContainerStack) -> None:
    """A full disk is reported in the log, and the task is retried once there is room."""
    fill = "head -c 100M /dev/zero >/opt/airflow/workspaces/filler; rm -f {}"
    before = stack.features()
    with stack.small_disk():
        stack.compose("exec", "-T", "scheduler", "bash", "-c", fill.format("nothing"))
        trigger = stack.start_trigger(SAMPLE, "--conf", '{"force": true}')
        stack.wait_for_task("up_for_retry")
        assert stack.features() == before
        log = "grep -rhoE 'No space left on device' /opt/airflow/logs | head -n 1"
        assert stack.compose("exec", "-T", "scheduler", "bash", "-c", log)
        stack.compose("exec", "-T", "scheduler", "rm", "/opt/airflow/workspaces/filler")
        stack.finish(trigger)
        assert stack.features() == before


def test_later_run_needs_no_intervention(stack: ContainerStack) -> None:
    """After all these faults, every service is healthy and a run succeeds."""
    for service in ("postgres", "api-server", "scheduler", "dag-processor", "triggerer"):
        wait_until(
            f"{service} is healthy",
            lambda name=service: stack.state(name)["State"]["Health"]["Status"] == "healthy",
        )
    assert stack.trigger(SAMPLE, "--conf", '{"force": true}')["status"] == "loaded"
