"""Those who may trigger runs can load drops, but read no other files and run no SQL."""

import shutil
from typing import Any

import pytest

import oracle
from comparison import assert_features
from docker.container_stack import ContainerStack
from e2e.local_stack import RUNS, SAMPLE

pytestmark = [pytest.mark.xdist_group("docker"), pytest.mark.timeout(1200)]

SQL = "'; drop table features.user_features; --"


def post(stack: ContainerStack, token: str, **body: Any) -> tuple[int, Any]:
    """Trigger a run with the token of an account that may do nothing more."""
    return stack.call("POST", RUNS, token, {"logical_date": None, **body})


@pytest.mark.usefixtures("loaded")
def test_disallowed_sources_are_refused(stack: ContainerStack) -> None:
    """Paths, links and URIs that lead elsewhere are refused, without secrets in the message."""
    (stack.drops / "door").symlink_to("/run/secrets")
    shutil.copytree(SAMPLE, stack.drops / "linked")
    (stack.drops / "linked" / "users.csv").unlink()
    (stack.drops / "linked" / "users.csv").symlink_to("/run/secrets/features_writer_password")
    expected = {
        "/drops/../run/secrets": "lies outside",
        "file:///etc": "lies outside",
        "/drops/door": "lies outside",
        "/drops/linked": "is a link that leads out",
        "s3://features_db@bucket/drop": "lies outside",
        "file://postgres/drops": "is not on this machine",
    }
    before, token = stack.features(), stack.token("api")
    answers = {source: post(stack, token, conf={"source": source}) for source in expected}
    assert {status for status, _ in answers.values()} == {200}
    for source, message in expected.items():
        outcome = stack.outcome(answers[source][1]["dag_run_id"], token)
        assert message in outcome, (source, outcome)
        assert stack.secret("features_writer_password") not in outcome
    assert stack.features() == before


@pytest.mark.usefixtures("loaded")
def test_sql_in_parameters_does_nothing(stack: ContainerStack) -> None:
    """SQL in a parameter, its name or the run id is refused, at the latest by the first task."""
    before, token = stack.features(), stack.token("api")
    for name in ("mode", "engine", "max_rejected_percent", "allow_empty", "force"):
        status, answer = post(stack, token, conf={name: SQL})
        assert status == 400, answer
    status, answer = post(stack, token, conf={}, dag_run_id=SQL)
    assert status in (400, 422), answer
    for conf, message in (({"source": SQL}, "there is no folder"), ({SQL: 1}, "unknown parameter")):
        status, answer = post(stack, token, conf=conf)
        assert status == 200, answer
        assert message in stack.outcome(answer["dag_run_id"], token)
    assert stack.features() == before


@pytest.mark.usefixtures("loaded")
def test_sql_in_a_drop_is_text(stack: ContainerStack) -> None:
    """SQL in the name of the folder, of a file or of a user is treated as text."""
    drop = stack.drops / SQL
    shutil.copytree(SAMPLE, drop)
    users = drop / "users.csv"
    content = users.read_bytes().replace(b"Amara Okafor", SQL.encode())
    users.write_bytes(content)
    users.rename(drop / f"users{SQL}.csv")
    assert stack.trigger(drop)["status"] == "loaded"
    found = stack.query("select * from features.user_features")
    assert_features(
        oracle.compute(drop), found, stack.query("select * from features.compound_features")
    )
    assert SQL in {row["user_name"] for row in found}
