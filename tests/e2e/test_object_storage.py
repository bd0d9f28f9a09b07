"""Drops and workspaces on s3://, through Airflow and its connection."""

from collections.abc import Iterator

import pytest

import oracle
from comparison import assert_features
from e2e.local_stack import SAMPLE, Stack, make_stack
from receivers import Mailbox
from s3_server import BUCKET, S3Server

pytestmark = [pytest.mark.xdist_group("operation"), pytest.mark.timeout(900)]

SOURCE = f"s3://lab@{BUCKET}/drops/sample"


@pytest.fixture(scope="module")
def new_other(stack: Stack) -> Iterator[Stack]:
    """A second stack, which is stopped at the end without harm to the first one."""
    other = make_stack()
    yield other
    other.remove()
    assert stack.is_up()


@pytest.fixture(scope="module")
def other(new_other: Stack, s3: S3Server, mailbox: Mailbox) -> Stack:
    """The second stack, running, with its drops and workspaces in a bucket."""
    other = new_other
    other.configure_airflow(
        {"AIRFLOW_CONN_LAB": s3.connection(), "AIRFLOW_CONN_SMTP_DEFAULT": mailbox.connection}
    )
    s3.put(SAMPLE, "drops/sample")
    other.start(EXPERIMENT_FEATURES_WORKSPACES=f"s3://lab@{BUCKET}/workspaces")
    return other


def test_two_stacks_run_side_by_side(stack: Stack, other: Stack) -> None:
    """Starting a second stack, and stopping it after these tests, leaves the first one alone."""
    assert other.is_up()
    assert stack.is_up()


def test_run_with_all_files_in_a_bucket(other: Stack, s3: S3Server) -> None:
    """The features are those of the drop, and the workspace is only in the bucket."""
    result = other.trigger(SOURCE)
    assert (result["status"], result["source"]) == ("loaded", SOURCE)
    users = other.query("select * from features.user_features")
    compounds = other.query("select * from features.compound_features")
    assert_features(oracle.compute(SAMPLE), users, compounds)
    kept = {key.partition("/")[2] for key in s3.keys("workspaces")}
    assert {"extract.json", "load.json", "user_features.parquet"} <= kept
    assert list((other.local / "workspaces").iterdir()) == []


def test_missing_source_is_refused(other: Stack) -> None:
    """With one clear line; tests/unit has the buckets that are not allowed."""
    assert "cannot be read as a folder" in other.refusal(f"s3://lab@{BUCKET}/drops/none")
