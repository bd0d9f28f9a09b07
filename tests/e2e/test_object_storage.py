"""Drops and workspaces on s3://, through Airflow and by its connection."""

from typing import Any

import pytest

from e2e.local_stack import SAMPLE, Stack
from s3_server import BUCKET, S3Server

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.usefixtures("loaded")]

SOURCE = f"s3://lab@{BUCKET}/drops/sample"


def test_run_with_all_files_in_a_bucket(stack: Stack, s3: S3Server, loaded: dict[str, Any]) -> None:
    """The features are those of the same drop in a folder, and the bucket holds the workspace."""
    s3.put(SAMPLE, "drops/sample")
    stack.trigger(SAMPLE)  # another test may have loaded another drop since
    before = stack.features()
    stack.stop()
    stack.start(EXPERIMENT_FEATURES_WORKSPACES=f"s3://lab@{BUCKET}/workspaces")
    try:
        result = stack.trigger(SOURCE, "--conf", '{"force": true}')
    finally:
        stack.stop()
        stack.start()
    assert (result["status"], result["source"]) == ("loaded", SOURCE)
    assert (result["users"], result["updated"]) == (loaded["users"], 0)
    assert stack.features() == before
    assert "load.json" in {key.partition("/")[2] for key in s3.keys("workspaces")}


def test_source_that_is_not_in_the_bucket(stack: Stack) -> None:
    """One clear line, by the credentials of the connection; another bucket is not looked into."""
    assert "cannot be read as a folder" in stack.refusal(f"s3://lab@{BUCKET}/drops/none")
    assert "lies outside of the folders" in stack.refusal("s3://lab@other/drops/sample")
