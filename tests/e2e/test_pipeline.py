"""The pipeline over Airflow's REST API: what users do with curl and trigger_etl.sh."""

import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import oracle
from e2e.local_stack import SAMPLE, Stack, free_port

pytestmark = pytest.mark.xdist_group("stack")

RUNS = "/api/v2/dags/experiment_features/dagRuns"
RESULT_KEYS = {
    *("run_id", "status", "source", "engine", "seconds"),
    *("users", "experiments", "compounds", "average_experiments_per_user"),
    *("rejected_rows", "warnings", "inserted", "updated", "deleted", "unchanged"),
}


def copy_sample(stack: Stack, name: str) -> Path:
    """A copy of the sample drop where the stack may read it."""
    return Path(shutil.copytree(SAMPLE, stack.drops / name))


def test_first_run_gives_what_the_oracle_computes(stack: Stack, loaded: dict[str, Any]) -> None:
    """The features and issues in PostgreSQL are those of the sample drop, row for row."""
    expected = oracle.compute(SAMPLE)
    assert set(loaded) == RESULT_KEYS
    assert loaded["status"] == "loaded"
    assert loaded["users"] == loaded["inserted"] == len(expected.users)
    assert loaded["compounds"] == len(expected.compounds)
    assert loaded["rejected_rows"] == len(expected.rejected)
    assert loaded["average_experiments_per_user"] == expected.average_experiments_per_user

    users = {row.pop("user_id"): row for row in stack.query("select * from features.user_features")}
    for row in users.values():
        assert row.pop("run_id") == loaded["run_id"]
        row.pop("updated_at")
    # The pipeline's means are floating point, the oracle's are exact.
    assert users == {
        user_id: {
            name: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for user_id, row in expected.users.items()
    }
    compounds = stack.query(
        "select compound_id, compound_name, total_experiments, total_users"
        " from features.compound_features"
    )
    assert {row.pop("compound_id"): row for row in compounds} == expected.compounds
    issues = stack.query(
        "select table_name, file_name, line_number, rule from features.data_issues"
    )
    assert {tuple(row.values()) for row in issues} == expected.issues


def test_query_features_prints_the_report(stack: Stack, loaded: dict[str, Any]) -> None:
    """The report has a line for each user; psql's arguments replace it."""
    report = stack.run("query_features.sh")
    assert report.returncode == 0, report.stderr
    assert f"({loaded['users']} rows)" in report.stdout
    role = stack.run("query_features.sh", "-tAc", "select current_user")
    assert role.stdout == "features_reader\n"


@pytest.mark.usefixtures("loaded")
def test_same_drop_again_changes_nothing(stack: Stack) -> None:
    """The second run of a drop ends as `unchanged` and writes no row."""
    before = stack.features()
    result = stack.trigger(SAMPLE)
    assert (result["status"], result["inserted"], result["updated"]) == ("unchanged", 0, 0)
    assert stack.features() == before


@pytest.mark.usefixtures("loaded")
def test_bad_drop_fails_with_its_message_and_changes_nothing(stack: Stack) -> None:
    """A missing column stops the run; the message names the file and the column."""
    drop = copy_sample(stack, "without_a_column")
    users = drop / "users.csv"
    users.write_text(users.read_text().replace("signup_date", "signed_up"))
    before = stack.features()
    line = stack.refusal(drop)
    assert "users.csv" in line
    assert "signup_date" in line
    assert stack.features() == before


def test_missing_source_is_named(stack: Stack) -> None:
    """A source that is not there fails at once, not after retries."""
    missing = stack.drops / "nowhere"
    assert str(missing) in stack.refusal(missing)


def test_source_outside_the_roots_is_refused(stack: Stack) -> None:
    """Who may trigger a run may not read the whole machine with it, nor by way of a link."""
    line = stack.refusal("/etc")
    assert "/etc" in line
    assert str(SAMPLE.parent) in line
    (stack.drops / "link").symlink_to("/etc")
    assert "outside" in stack.refusal(stack.drops / "link")


@pytest.mark.parametrize("conf", ['{"engine": "abacus"}', '{"colour": "red"}'])
def test_unknown_parameter_is_refused(stack: Stack, conf: str) -> None:
    """Neither a value nor a name that the DAG does not know passes unnoticed."""
    line = stack.refusal("--conf", conf)
    assert "abacus" in line or "colour" in line


@pytest.mark.parametrize("conf", ["[1]", "{", ""])
def test_conf_must_be_an_object(stack: Stack, conf: str) -> None:
    """What cannot be the run's parameters is not sent."""
    assert stack.refusal("--conf", conf).startswith("--conf must be a JSON object")


def test_wrong_password_is_said(stack: Stack) -> None:
    """A refused log-in is told apart from everything else."""
    line = stack.refusal(AIRFLOW_PASSWORD="not the password")  # noqa: S106
    assert line == f"wrong user or password for {stack.url} (user admin)"


def test_unreachable_server_is_said(stack: Stack) -> None:
    """The line names the address that was tried."""
    url = f"http://127.0.0.1:{free_port()}"
    assert stack.refusal(AIRFLOW_URL=url).startswith(f"cannot reach Airflow at {url}")


def test_secrets_stay_out_of_sight(stack: Stack, tmp_path: Path) -> None:
    """Neither the password nor the token is printed, or stands in the list of processes."""
    log = tmp_path / "arguments"
    spy = tmp_path / "curl"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{log}"\nexec {shutil.which("curl")} "$@"\n')
    spy.chmod(0o755)
    done = stack.run(
        "trigger_etl.sh", "--conf", '{"engine": 1}', PATH=f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"
    )
    password = json.loads((stack.local / "airflow" / "passwords.json").read_text())["admin"]
    seen = log.read_text() + done.stdout + done.stderr
    assert RUNS in seen
    assert password not in seen
    assert "eyJ" not in seen  # how every JSON web token begins


@pytest.mark.parametrize(
    ("token", "status"),
    [(None, 401), ("eyJhbGciOiJIUzI1NiJ9.e30.x", 403)],
    ids=["no token", "forged token"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/dags"),
        ("GET", "/api/v2/connections"),
        ("POST", RUNS),
        ("GET", f"{RUNS}/any/wait?interval=1"),
        ("GET", f"{RUNS}/any/taskInstances/load/xcomEntries/return_value"),
    ],
)
def test_nothing_is_told_to_strangers(
    stack: Stack, method: str, path: str, token: str | None, status: int
) -> None:
    """Without a token every call gets 401, with a forged one 403."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    data = b'{"logical_date": null}' if method == "POST" else None
    request = urllib.request.Request(stack.url + path, data, headers, method=method)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310
    assert refused.value.code == status
