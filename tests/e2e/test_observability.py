"""What runs report: metrics, logs, assets and mails, to real receivers; lineage: test_object_storage.py."""

import json
import urllib.parse
from typing import Any

import pytest

from e2e.local_stack import SAMPLE, Stack
from receivers import Mailbox, Metrics, body
from waiting import wait_until

pytestmark = [pytest.mark.xdist_group("runs"), pytest.mark.timeout(900)]

PREFIX = "airflow.experiment_features."


def sent(metrics: Metrics) -> dict[str, float]:
    """Returns the first value of each of the pipeline's metrics."""
    values: dict[str, float] = {}
    for line in metrics.lines:
        name, _, rest = line.partition(":")
        if name.startswith(PREFIX):
            values.setdefault(name.removeprefix(PREFIX), float(rest.partition("|")[0]))
    return values


def test_metrics(stack: Stack, metrics: Metrics, loaded: dict[str, Any]) -> None:
    """Runs report rows read, rejected and written, stage times and the last success."""
    wait_until("the last metric has arrived", lambda: "stage.load" in sent(metrics))
    values = sent(metrics)
    files = stack.query(
        "select file ->> 'table' as name, (file ->> 'rows')::int as rows from features.pipeline_runs,"
        " jsonb_array_elements(source_files) file where run_id = %s",
        loaded["run_id"],
    )
    assert len(files) == 3
    for file in files:
        assert values[f"rows_read.{file['name']}"] == file["rows"]
    rejected = [values[f"rows_rejected.{file['name']}"] for file in files]
    assert sum(rejected) == loaded["rejected_rows"]
    assert values["rows_written"] == loaded["inserted"]
    (now,) = stack.query("select extract(epoch from now())::float as seconds")
    assert now["seconds"] - 3600 < values["last_success_at"] <= now["seconds"]
    assert {f"stage.{stage}" for stage in loaded["seconds"]} <= set(values)


def test_log_lines_carry_the_run(stack: Stack, loaded: dict[str, Any]) -> None:
    """Each stage logs a line with the ids of run and task; the last one has the counts."""
    log = (stack.local / "logs" / "scheduler.log").read_text()
    lines = [line for line in log.splitlines() if "stage done" in line]
    of_run = [line for line in lines if f"run_id={loaded['run_id']}" in line]
    for stage in loaded["seconds"]:
        (line,) = [line for line in of_run if f"task_id={stage}" in line]
    assert f"users={loaded['users']}" in line


def test_assets_carry_the_result(stack: Stack, loaded: dict[str, Any]) -> None:
    """Asset events carry the result of the run, for DAGs that are scheduled on them."""
    events = stack.ask_airflow(
        "select asset.name, event.extra from asset_event event join asset on asset.id = asset_id"
        " where source_run_id = %s and source_task_id = 'load' order by name",
        loaded["run_id"],
    )
    assert [event["name"] for event in events] == ["compound_features", "user_features"]
    for event in events:
        extra = event["extra"]
        assert (json.loads(extra) if isinstance(extra, str) else extra) == loaded


@pytest.mark.thorough
@pytest.mark.usefixtures("loaded")
def test_another_dag_runs_after_a_load(stack: Stack) -> None:
    """The example DAG is started by the assets and can read the result of the load."""
    example, token = "/api/v2/dags/features_news", stack.token()
    wait_until(
        "Airflow knows the example",
        lambda: stack.ask_airflow("select from dag where dag_id = 'features_news'"),
    )
    stack.call(example, {"is_paused": False}, cookie=token, method="PATCH")
    result = stack.trigger(SAMPLE, "--conf", '{"force": true}')
    runs = f"{example}/dagRuns/~/taskInstances"
    (task,) = wait_until(
        "the example has run",
        lambda: stack.call(f"{runs}?state=success", cookie=token)["task_instances"],
    )
    path = f"{example}/dagRuns/{task['dag_run_id']}/taskInstances/tell/xcomEntries/return_value"
    told = stack.call(urllib.parse.quote(path), cookie=token)["value"]
    assert told == f"{result['users']} users: 0 new, 0 changed, 0 gone (run {result['run_id']})"
    stack.call(example, {"is_paused": True}, cookie=token, method="PATCH")


@pytest.mark.thorough
@pytest.mark.usefixtures("loaded")
def test_an_overdue_load_sends_mail(stack: Stack, mailbox: Mailbox) -> None:
    """A mail is sent if a run misses its deadline and the ledger shows no recent load."""
    missing = SAMPLE.parent / "nowhere"
    assert str(missing) in stack.refusal(missing)
    move = (
        "update features.pipeline_runs set started_at = started_at {0} interval '2 days',"
        " finished_at = finished_at {0} interval '2 days'"
    )
    with stack.connect("postgres", "experiment_features") as features:
        features.execute(move.format("-"))
        try:
            with stack.connect("airflow", "airflow") as airflow:
                airflow.execute("update deadline set deadline_time = now() where not missed")
            overdue = wait_until(
                "a mail has arrived",
                lambda: [mail for mail in mailbox.mails if "no load" in mail["Subject"]],
            )
        finally:
            features.execute(move.format("+"))
    assert overdue[0]["Subject"] == "experiment_features: no load in 24 hours"
    assert "Last success: 20" in body(overdue[0])
