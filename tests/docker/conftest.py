"""The stack that all tests in containers share."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from docker.container_stack import ContainerStack, FirstRun, make_stack
from readme import commands, objects


@pytest.fixture(scope="session")
def engine() -> None:
    """Skips the tests without a Docker engine with Compose; in CI, fails them."""
    for command in (["docker", "info"], ["docker", "compose", "version"]):
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError) as error:
            reason = f"no Docker engine with Compose answers: {error}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def new_stack(engine: None) -> Iterator[ContainerStack]:  # noqa: ARG001
    """A stack, removed at the end. If it does not start, it stays until evidence.py has seen it."""
    stack = make_stack()
    yield stack
    stack.remove()


@pytest.fixture(scope="session")
def readme(new_stack: ContainerStack) -> str:
    """What the README's lines print on a new stack: they start it and load two drops."""
    *lines, stop = commands("With Docker").splitlines()
    assert stop.startswith("docker compose down ")
    return new_stack.type_in("\n".join(lines))


@pytest.fixture(scope="session")
def stack(new_stack: ContainerStack, readme: str) -> ContainerStack:  # noqa: ARG001
    """The running stack, shared because it is slow to start."""
    return new_stack


@pytest.fixture(scope="session")
def first_run(stack: ContainerStack, readme: str) -> FirstRun:
    """The first run, on the sample drop; the second one loaded a copy."""
    result, _ = objects(readme)
    users = stack.query("select * from features.user_features")
    return FirstRun(result, users, stack.query("select * from features.compound_features"))


@pytest.fixture(scope="session")
def loaded(first_run: FirstRun) -> dict[str, Any]:
    """The result of the first run."""
    return first_run.result
