"""The stack in containers: its first run, its scripts, and what its containers may do."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import oracle
from comparison import assert_features
from docker.container_stack import ONE_SHOTS, SERVICES, ContainerStack, FirstRun, docker, wait_until
from e2e.local_stack import SAMPLE
from failing_run import fail_on_purpose
from readme import objects

pytestmark = [pytest.mark.xdist_group("docker"), pytest.mark.timeout(1200)]


def test_first_run_gives_what_the_oracle_computes(first_run: FirstRun) -> None:
    """A brand-new stack loads the sample drop, triggered over REST."""
    expected = oracle.compute(SAMPLE)
    assert first_run.result["rejected_rows"] == len(expected.rejected)
    assert_features(expected, first_run.users, first_run.compounds)


def test_readme_lines_run_as_written(stack: ContainerStack, readme: str) -> None:
    """The README's commands work on a brand-new stack."""
    assert stack.url in readme
    sample, monday = objects(readme)
    assert sample["status"] == "loaded"
    assert (monday["source"], monday["status"]) == ("/drops/monday", "loaded")
    assert f"({len(oracle.compute(SAMPLE).users)} rows)" in readme


@pytest.mark.usefixtures("loaded")
def test_scripts_accept_a_drop_by_its_host_path(stack: ContainerStack) -> None:
    """A path on the host is translated, or refused if the containers do not see it."""
    shutil.copytree(SAMPLE, stack.drops / "by_path", dirs_exist_ok=True)
    assert stack.trigger(stack.drops / "by_path")["source"] == "/drops/by_path"
    refused = stack.run("scripts/trigger_etl.sh", "/usr")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"trigger_etl.sh: the containers do not see /usr: put the drop into {stack.drops}\n"
    )


@pytest.mark.usefixtures("loaded")
def test_a_drop_that_arrives_is_loaded(stack: ContainerStack) -> None:
    """A marker is enough to load a drop, even though the containers cannot write there."""
    arrived = Path(shutil.copytree(SAMPLE, stack.drops / "arrived"))
    (arrived / "_READY").touch()
    query = (
        "select status from features.pipeline_runs "
        "where trigger = 'asset' and source = '/drops/arrived' and status <> 'running'"
    )
    (run,) = wait_until("the drop that arrived is in the ledger", lambda: stack.query(query))
    assert run["status"] in ("loaded", "unchanged")


def test_scripts_do_not_guess_between_two_stacks(stack: ContainerStack) -> None:
    """If both stacks or none are running, the scripts say so; a setting chooses one."""
    record = stack.folder / "local" / "port"
    record.parent.mkdir()
    record.write_text("1")
    for script in ("scripts/trigger_etl.sh", "scripts/query_features.sh"):
        refused = stack.run(script)
        assert refused.returncode == 1
        assert "both stacks are running: choose with EXPERIMENT_FEATURES_TARGET" in refused.stderr
    chosen = stack.run(
        "scripts/query_features.sh",
        "-tAc",
        "select current_user",
        EXPERIMENT_FEATURES_TARGET="docker",
    )
    assert chosen.stdout == "features_reader\n"
    shutil.rmtree(record.parent)
    nowhere = {"EXPERIMENT_FEATURES_SECRETS": str(stack.folder / "none")}
    refused = stack.run("scripts/query_features.sh", **nowhere)
    assert refused.stderr.startswith("query_features.sh: no stack is running")


def test_containers_may_do_no_more_than_they_need(stack: ContainerStack) -> None:
    """Containers have no capabilities, no root, no writable root file system, and limits."""
    for service in (*SERVICES, *ONE_SHOTS):
        container = stack.state(service)
        host, config = container["HostConfig"], container["Config"]
        assert config["User"] not in ("", "0", "root"), service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert not host["Privileged"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["ReadonlyRootfs"], service
        assert 0 < host["PidsLimit"] <= 1024, service
        assert 0 < host["Memory"] <= 4 * 2**30, service
        writable = [mount["Destination"] for mount in container["Mounts"] if mount["RW"]]
        assert not [path for path in writable if path.startswith(("/drops", "/run/secrets"))]


def test_only_this_machine_reaches_only_airflow(stack: ContainerStack) -> None:
    """Only Airflow has a port, on loopback; the database is in an internal network."""
    published = {
        service: [
            (bound["HostIp"], bound["HostPort"])
            for bindings in stack.state(service)["NetworkSettings"]["Ports"].values()
            for bound in bindings or []
        ]
        for service in SERVICES
    }
    assert published.pop("api-server") == [("127.0.0.1", str(stack.port))]
    assert not any(published.values())
    (network,) = stack.state("postgres")["NetworkSettings"]["Networks"]
    (found,) = json.loads(docker("network", "inspect", network))
    assert found["Internal"]


@pytest.mark.parametrize("service", ["api-server", "scheduler", "dag-processor", "triggerer"])
def test_code_cannot_be_changed_from_within(stack: ContainerStack, service: str) -> None:
    """The containers' users cannot change the code or its permissions."""
    script = "touch /opt/airflow/dags/x || chmod u+w /opt/airflow/dags || echo neither"
    assert stack.compose("exec", "-T", service, "bash", "-c", script) == "neither\n"


@pytest.mark.usefixtures("stack")
def test_image_has_exactly_the_locked_packages() -> None:
    """The image has the locked packages, no others from its base image, and no build tools."""
    script = (
        "cd /opt/airflow && uv pip sync --dry-run --offline requirements.txt requirements/*.txt"
    )
    script += " && ! command -v gcc cc make"
    arguments = ("run", "--rm", "--network=none", "--entrypoint=bash", "experiment-features")
    done = docker(*arguments, "-c", f"({script}) 2>&1")
    assert "Would make no changes" in done, done


def test_no_secrets_no_start(stack: ContainerStack) -> None:
    """Starting the containers without secrets is an error; there are no default passwords."""
    assert not stack.run("docker", "compose", "config", "--quiet").stderr
    without = {
        "EXPERIMENT_FEATURES_SECRETS": str(stack.folder / "none"),
        "COMPOSE_PROJECT_NAME": f"{stack.project}-bare",
    }
    done = stack.run("docker", "compose", "up", "--detach", **without)
    stack.compose("down", "--volumes", **without)
    assert done.returncode != 0
    assert "none/" in done.stderr
    assert os.fspath(stack.folder) in done.stderr


def test_a_failing_test_leaves_what_explains_it(
    stack: ContainerStack, loaded: dict[str, Any], tmp_path: Path
) -> None:
    """Its message names a folder with the logs of containers and tasks, and the ledger."""
    failure = fail_on_purpose(tmp_path, stack)
    left = failure / "1_ContainerStack"
    assert loaded["run_id"] in (left / "pipeline_runs.json").read_text()
    assert loaded["run_id"] in (left / "task_instances.json").read_text()
    assert all(service in (left / "containers.txt").read_text() for service in SERVICES)
    assert "Added user admin" in (left / "containers.log").read_text()
    assert any("stage done" in log.read_text() for log in left.glob("tasks/**/*.log"))
    assert list(left.glob("*.error")) == []
    shutil.rmtree(failure)
