"""All files on s3://, through Airflow and its connection, as on hosts that share no disk.

The engine is Spark, which finds the bucket by itself: Sail, in the tasks. And the lineage of such runs.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

import oracle
from comparison import assert_features
from e2e.local_stack import SAMPLE, Stack, make_stack
from receivers import Lineage, Mailbox, receive_lineage
from s3_server import BUCKET, S3Server
from waiting import wait_until

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.timeout(900),
]

SOURCE = f"s3://lab@{BUCKET}/drops/sample"
PLACES = {
    f"EXPERIMENT_FEATURES_{name.upper()}": f"s3://lab@{BUCKET}/{name}"
    for name in ("store", "workspaces")
}


@pytest.fixture(scope="module")
def new_other(stack: Stack) -> Iterator[Stack]:
    """A second stack, which is stopped at the end without harm to the first one."""
    other = make_stack()
    yield other
    other.remove()
    assert stack.is_up()


@pytest.fixture(scope="module")
def lineage() -> Iterator[Lineage]:
    """Where the second stack's OpenLineage events arrive: they make a run dearer by a third."""
    with receive_lineage() as lineage:
        yield lineage


@pytest.fixture(scope="module")
def other(new_other: Stack, s3: S3Server, mailbox: Mailbox, lineage: Lineage) -> Stack:
    """The second stack, running, with its drops, store and workspaces in a bucket."""
    other = new_other
    url = f"http://127.0.0.1:{lineage.server_port}"
    other.configure_airflow(
        {
            "AIRFLOW_CONN_LAB": s3.connection(),
            "AIRFLOW_CONN_SMTP_DEFAULT": mailbox.connection,
            "EXPERIMENT_FEATURES_SPARK_MASTER": "sail",
            **s3.environment,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "http", "url": url}),
        }
    )
    s3.put(SAMPLE, "drops/sample")
    other.start(**PLACES)
    return other


@pytest.fixture(scope="module")
def from_bucket(other: Stack) -> dict[str, Any]:
    """The result of a run on the drop in the bucket."""
    return other.trigger(SOURCE, "--conf", '{"engine": "spark"}')


def test_two_stacks_run_side_by_side(stack: Stack, other: Stack) -> None:
    """Starting a second stack, and stopping it after these tests, leaves the first one alone."""
    assert other.is_up()
    assert stack.is_up()


def test_run_with_all_files_in_a_bucket(
    other: Stack, from_bucket: dict[str, Any], s3: S3Server
) -> None:
    """The features are those of the drop, and store and workspace are only in the bucket."""
    assert (from_bucket["status"], from_bucket["source"]) == ("loaded", SOURCE)
    assert from_bucket["engine"] == "spark"
    users = other.query("select * from features.user_features")
    compounds = other.query("select * from features.compound_features")
    assert_features(oracle.compute(SAMPLE), users, compounds)
    kept = {key.partition("/")[2] for key in s3.keys("workspaces")}
    assert {"extract.json", "load.json", "user_features.parquet"} <= kept
    assert any(key.startswith("compound_features.parquet/") for key in kept)
    assert len(s3.keys("store")) == 3
    assert [*(other.local / "workspaces").iterdir(), *other.local.glob("store/*")] == []


def test_run_is_traced_and_reproduced(
    other: Stack, from_bucket: dict[str, Any], s3: S3Server
) -> None:
    """By the command line, from the bucket; on the engine of the run."""
    environment = PLACES | s3.environment | {"EXPERIMENT_FEATURES_SPARK_MASTER": "sail"}
    traced = other.run("features.sh", "trace", "1", **environment)
    assert traced.returncode == 0, traced.stderr
    again = other.run("features.sh", "reproduce", from_bucket["run_id"], "--json", **environment)
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert (found["engine"], found["equal"]) == ("spark", True)


def test_lineage(lineage: Lineage, from_bucket: dict[str, Any]) -> None:
    """Lineage events name the source and the tables."""
    assert from_bucket["status"] == "loaded"

    def completed(task: str) -> list[dict[str, Any]]:
        job = f"experiment_features.{task}"
        return [
            event
            for event in lineage.events
            if event["eventType"] == "COMPLETE" and event["job"]["name"] == job
        ]

    wait_until("the event of load has arrived", lambda: completed("load"))
    (source,) = completed("extract")[0]["inputs"]
    assert (source["namespace"], source["name"]) == (f"s3://{BUCKET}", "drops/sample")
    assert {table["name"] for table in completed("load")[0]["outputs"]} == {
        f"experiment_features.features.{table}"
        for table in ("user_features", "compound_features", "pipeline_runs", "data_issues")
    }


def test_missing_source_is_refused(other: Stack) -> None:
    """With one clear line; tests/unit has the buckets that are not allowed."""
    assert "cannot be read as a folder" in other.refusal(f"s3://lab@{BUCKET}/drops/none")
