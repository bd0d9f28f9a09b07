"""The stack that all tests in containers share."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from docker.container_stack import ContainerStack, FirstRun, make_stack


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
def stack(engine: None) -> Iterator[ContainerStack]:  # noqa: ARG001
    """The running stack, shared because it is slow to start."""
    stack = make_stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="session")
def first_run(stack: ContainerStack) -> FirstRun:
    """The first run, on the sample drop."""
    result = stack.trigger()
    users = stack.query("select * from features.user_features")
    return FirstRun(result, users, stack.query("select * from features.compound_features"))


@pytest.fixture(scope="session")
def loaded(first_run: FirstRun) -> dict[str, Any]:
    """The result of the first run."""
    return first_run.result
