"""No generated secret appears in anything that others may see."""

import gzip
import io
import subprocess
import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

import pytest

from docker.container_stack import ONE_SHOTS, SERVICES, ContainerStack, docker
from e2e.local_stack import ROOT

pytestmark = [
    pytest.mark.xdist_group("docker"),
    pytest.mark.timeout(1200),
    pytest.mark.usefixtures("loaded"),
]

IMAGE = "experiment-features"
BLOCK = 2**22


def blocks_of_image() -> Iterator[bytes]:
    """Yield the image as it would be shared: history, settings and all layers."""
    with subprocess.Popen(["docker", "save", IMAGE], stdout=subprocess.PIPE) as save:
        with tarfile.open(fileobj=save.stdout, mode="r|") as archive:
            for member in archive:
                if file := archive.extractfile(member):
                    yield from blocks_of(file)
        assert save.wait() == 0


def blocks_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the content in blocks, decompressed if necessary."""
    reader = io.BufferedReader(cast("Any", file), BLOCK)
    with gzip.open(reader) if reader.peek(2)[:2] == b"\x1f\x8b" else reader as stream:
        while block := stream.read(BLOCK):
            yield block


def find(needles: dict[str, bytes], blocks: Iterator[bytes]) -> set[str]:
    """Return the names of the needles found, even across two blocks."""
    longest = max(map(len, needles.values()))
    found, tail = set(), b""
    for block in blocks:
        found |= {name for name, needle in needles.items() if needle in tail + block}
        tail = block[-longest:]
    return found


@pytest.fixture(scope="session")
def secrets(stack: ContainerStack) -> dict[str, bytes]:
    """All secrets by name."""
    made = {path.name: path.read_bytes() for path in stack.secrets.iterdir()}
    assert len(made) == len(set(made.values())) == 10
    assert all(len(secret) >= 44 for secret in made.values())
    return made


def test_image_holds_no_secret(secrets: dict[str, bytes]) -> None:
    """The image contains no secret; known texts show that layers and history are searched."""
    known = {"layer": b"### Features per user from a laboratory's drop", "history": b"uv pip sync"}
    assert find(secrets | known, blocks_of_image()) == set(known)
    told = docker("history", "--no-trunc", IMAGE) + docker("inspect", IMAGE)
    assert not find(secrets, iter([told.encode()]))


def test_containers_show_no_secret(stack: ContainerStack, secrets: dict[str, bytes]) -> None:
    """Neither `docker inspect` nor the containers' logs show a secret."""
    told = docker("inspect", *(stack.container(service) for service in (*SERVICES, *ONE_SHOTS)))
    assert stack.project in told
    logs = stack.compose("logs", "--no-color")
    assert "Added user admin" in logs
    assert not find(secrets, iter([told.encode(), logs.encode()]))


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
    assert find(secrets | known, iter([done.stdout])) == set(known)


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
