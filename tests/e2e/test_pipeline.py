"""The pipeline through Airflow's REST API, as users call it with curl and trigger_etl.sh."""

import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import oracle
from comparison import assert_features
from e2e.local_stack import RUNS, SAMPLE, Stack
from receivers import free_port

pytestmark = [pytest.mark.xdist_group("runs"), pytest.mark.timeout(900)]

RESULT_KEYS = {
    *("run_id", "status", "mode", "given_source", "source", "engine", "notices", "seconds"),
    *("users", "experiments", "compounds", "average_experiments_per_user"),
    *("rejected_rows", "warnings", "healed", "inserted", "updated", "deleted", "unchanged"),
}


def test_first_run_gives_what_the_oracle_computes(stack: Stack, loaded: dict[str, Any]) -> None:
    """Features and issues in PostgreSQL match the sample drop, row for row."""
    expected = oracle.compute(SAMPLE)
    assert set(loaded) == RESULT_KEYS
    assert loaded["status"] == "loaded"
    assert loaded["users"] == loaded["inserted"] == len(expected.users)
    assert loaded["compounds"] == len(expected.compounds)
    assert loaded["rejected_rows"] == len(expected.rejected)
    assert loaded["average_experiments_per_user"] == expected.average_experiments_per_user

    users = stack.query("select * from features.user_features")
    assert_features(expected, users, stack.query("select * from features.compound_features"))
    issues = stack.query(
        "select table_name, file_name, line_number, rule from features.data_issues "
        "where run_id = %s",
        loaded["run_id"],
    )
    assert {tuple(row.values()) for row in issues} == expected.issues


def test_query_features_prints_the_report(stack: Stack, loaded: dict[str, Any]) -> None:
    """The report has a row for each user; arguments go to psql instead."""
    report = stack.run("query_features.sh")
    assert report.returncode == 0, report.stderr
    assert f"({loaded['users']} rows)" in report.stdout
    role = stack.run("query_features.sh", "-tAc", "select current_user")
    assert role.stdout == "features_reader\n"


@pytest.mark.usefixtures("loaded")
def test_same_drop_again_changes_nothing(stack: Stack) -> None:
    """A second run on the same drop ends as `unchanged` and writes no rows."""
    before = stack.features()
    result = stack.trigger(SAMPLE)
    assert (result["status"], result["inserted"], result["updated"]) == ("unchanged", 0, 0)
    assert stack.features() == before


def test_trigger_button_gives_the_same_result(stack: Stack, loaded: dict[str, Any]) -> None:
    """A run from Airflow's form has the same result; its logical date is ignored."""
    conf = {"source": str(SAMPLE), "engine": "duckdb", "max_rejected_percent": 10}
    conf |= {"allow_empty": False, "force": True}
    form = {"logical_date": "2020-02-02T02:02:02Z", "conf": conf, "dag_run_id": None, "note": ""}
    before = stack.features()
    run = stack.call(RUNS, form, cookie=stack.token())
    end = stack.wait_for_run(run["dag_run_id"])
    result = end["results"]["load"]
    assert (end["state"], result["status"], result["engine"]) == ("success", "loaded", "duckdb")
    assert result["unchanged"] == loaded["users"]
    assert stack.features() == before
    (entry,) = stack.query(
        "select trigger, status, started_at > now() - interval '1 hour' as is_of_now"
        " from features.pipeline_runs where run_id = %s",
        run["dag_run_id"],
    )
    assert entry == {"trigger": "manual", "status": "loaded", "is_of_now": True}


@pytest.mark.thorough
@pytest.mark.usefixtures("loaded")
def test_spark_gives_the_same_features(stack: Stack) -> None:
    """On Sail, which runs in the tasks."""
    before = stack.features()
    result = stack.trigger(SAMPLE, "--conf", '{"engine": "spark", "force": true}')
    assert (result["status"], result["engine"]) == ("loaded", "spark")
    assert result["unchanged"] == result["users"] == sum("user_id" in row for row in before)
    assert stack.features() == before


@pytest.mark.usefixtures("loaded")
def test_unavailable_database_leads_to_a_retry(stack: Stack) -> None:
    """A transient error is retried after a while, and the run succeeds."""
    with stack.without_features_database() as wait_for_retry:
        trigger = stack.start_trigger(SAMPLE, "--conf", '{"force": true}')
        wait_for_retry()
    result = stack.finish(trigger)
    assert result["status"] == "loaded"
    assert stack.tries(result["run_id"]) == {"extract": 2, "validate": 1, "transform": 1, "load": 1}


@pytest.mark.usefixtures("loaded")
def test_rejected_drop_is_recorded(stack: Stack) -> None:
    """The drop is rejected without a retry and changes nothing; its issues are recorded.

    What the message offers, to allow it, works; the note of the run then names the source.
    """
    before = stack.features()
    line = stack.refusal(SAMPLE, "--conf", '{"max_rejected_percent": 5, "force": true}')
    assert line.startswith("validate failed: more rows are faulty than max_rejected_percent (5)")
    assert "compounds 7.7% (1 of 13 rows)" in line
    assert stack.features() == before
    (run,) = stack.ledger()[-1:]
    assert (run["status"], run["rejected_rows"]) == ("rejected", 9)
    issues = stack.query("select from features.data_issues where run_id = %s", run["run_id"])
    assert len(issues) == len(oracle.compute(SAMPLE).issues)
    assert stack.tries(run["run_id"])["validate"] == 1
    (conf,) = re.findall(r"--conf '(.*?)'", line)
    assert conf == '{"max_rejected_percent": 8, "force": true}'
    result = stack.trigger(SAMPLE, "--conf", conf)
    in_airflow = stack.call(f"{RUNS}/{result['run_id']}", cookie=stack.token())
    assert in_airflow["note"] == result["source"] == str(SAMPLE)


@pytest.mark.thorough
@pytest.mark.parametrize("conf", ['{"engine": "abacus"}', '{"colour": "red"}'])
def test_unknown_parameter_is_refused(stack: Stack, conf: str) -> None:
    """Unknown names and values of parameters are refused."""
    line = stack.refusal("--conf", conf)
    assert "abacus" in line or "colour" in line


@pytest.mark.parametrize("conf", ["[1]", "{", ""])
def test_conf_must_be_an_object(stack: Stack, conf: str) -> None:
    """Anything but a JSON object is refused before it is sent."""
    assert stack.refusal("--conf", conf).startswith("--conf must be a JSON object")


def test_wrong_password_is_reported(stack: Stack) -> None:
    """A failed login has its own message."""
    line = stack.refusal(AIRFLOW_PASSWORD="not the password")  # noqa: S106
    assert line == f"wrong user or password for {stack.url} (user admin)"


def test_unreachable_server_is_reported(stack: Stack) -> None:
    """The error names the address; the local stack's password is not sent to another one."""
    url = f"http://127.0.0.1:{free_port()}"
    assert stack.refusal(AIRFLOW_URL=url) == f"set AIRFLOW_PASSWORD for {url}"
    line = stack.refusal(AIRFLOW_URL=url, AIRFLOW_PASSWORD="any")  # noqa: S106
    assert line.startswith(f"cannot reach Airflow at {url}")


def test_secrets_stay_out_of_sight(stack: Stack, tmp_path: Path) -> None:
    """Neither password nor token is printed or passed to curl as an argument."""
    log = tmp_path / "arguments"
    spy = tmp_path / "curl"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> "{log}"\nexec {shutil.which("curl")} "$@"\n')
    spy.chmod(0o755)
    done = stack.run(
        "trigger_etl.sh", "--conf", '{"engine": 1}', PATH=f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"
    )
    password = stack.password()
    seen = log.read_text() + done.stdout + done.stderr
    assert RUNS in seen
    assert password not in seen
    assert "eyJ" not in seen  # every JSON web token starts with this


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
def test_strangers_are_refused(
    stack: Stack, method: str, path: str, token: str | None, status: int
) -> None:
    """Every call is answered with 401 without a token, and with 403 for a forged one."""
    headers = {"Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    data = b'{"logical_date": null}' if method == "POST" else None
    request = urllib.request.Request(stack.url + path, data, headers, method=method)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)  # noqa: S310
    assert refused.value.code == status
