"""No generated secret appears in anything that others may see."""

import re
import subprocess

import pytest

from docker.container_stack import ONE_SHOTS, SERVICES, ContainerStack, docker
from e2e.local_stack import ROOT

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]

IMAGE = "experiment-features"


def find(needles: dict[str, bytes], text: bytes) -> set[str]:
    """Return the names of the needles found."""
    return {name for name, needle in needles.items() if needle in text}


@pytest.fixture(scope="session")
def secrets(stack: ContainerStack) -> dict[str, bytes]:
    """All secrets by name."""
    made = {path.name: path.read_bytes() for path in stack.secrets.iterdir()}
    assert len(made) == len(set(made.values())) == 10
    assert all(len(secret) >= 44 for secret in made.values())
    return made


def test_image_holds_no_secret(secrets: dict[str, bytes]) -> None:
    """The image contains no secret; a known text shows that all its files are searched.

    Nor do its layers: no step of the Dockerfile removes what an earlier one has copied.
    """
    known = b"### Features per user from a laboratory's drop"
    everywhere = ("-roahFf", "-", "--exclude-dir=proc", "--exclude-dir=sys", "/")
    search = ("run", "--rm", "--interactive", "--network=none", "--user=0", "--entrypoint=grep")
    done = subprocess.run(
        ["docker", *search, IMAGE, *everywhere],
        input=b"\n".join([known, *secrets.values()]),
        capture_output=True,
        check=True,
    )
    assert set(done.stdout.splitlines()) == {known}
    told = docker("history", "--no-trunc", IMAGE) + docker("inspect", IMAGE)
    assert "uv pip sync" in told
    assert not find(secrets, told.encode())
    assert not re.search(r"\b(rm|mv|unlink)\b", (ROOT / "Dockerfile").read_text())


def test_containers_show_no_secret(stack: ContainerStack, secrets: dict[str, bytes]) -> None:
    """Neither `docker inspect` nor the containers' logs show a secret."""
    told = docker("inspect", *(stack.container(service) for service in (*SERVICES, *ONE_SHOTS)))
    assert stack.project in told
    logs = stack.compose("logs", "--no-color")
    assert "Added user admin" in logs
    assert not find(secrets, (told + logs).encode())


def test_task_logs_show_no_secret(stack: ContainerStack, secrets: dict[str, bytes]) -> None:
    """Neither the logs of tasks nor the workspaces of runs contain a secret."""
    script = "find /opt/airflow/logs /opt/airflow/workspaces -type f -exec cat {} +"
    done = subprocess.run(
        ["docker", "compose", "exec", "-T", "scheduler", "bash", "-c", script],
        env=stack.environment,
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    known = {"log": b"experiment_features"}
    assert find(secrets | known, done.stdout) == set(known)


def test_secrets_are_the_owners_alone(stack: ContainerStack) -> None:
    """Only the owner can open the folder with the secrets, and git ignores it."""
    assert stack.secrets.stat().st_mode & 0o777 == 0o700
    ignored = subprocess.run(
        ["git", "check-ignore", ".secrets/admin_password", "drops/any"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout.split() == [".secrets/admin_password", "drops/any"]


def test_each_service_has_only_the_secrets_that_it_needs(stack: ContainerStack) -> None:
    """Only what runs tasks, or records how they end, writes; only the API server reads."""
    airflow = {"airflow_password", "fernet_key", "jwt_secret", "session_key"}
    expected: dict[str, set[str]] = {
        "postgres": set(),
        "api-server": airflow | {"features_reader_password"},
        "scheduler": airflow | {"features_writer_password", "redis_password"},
        "dag-processor": airflow | {"features_writer_password"},
        "triggerer": airflow,
    }
    prefix = "/run/secrets/"
    assert expected == {
        service: {
            mount["Destination"].removeprefix(prefix)
            for mount in stack.state(service)["Mounts"]
            if mount["Destination"].startswith(prefix)
        }
        for service in SERVICES
    }
