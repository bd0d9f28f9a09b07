"""Drops arrive by their markers; nobody triggers anything."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from e2e.local_stack import SAMPLE, Stack
from experiment_features.drop.arrival import MARKER
from receivers import Mailbox, body
from waiting import wait_until

pytestmark = [
    pytest.mark.xdist_group("stack"),
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # the waits have their own bounds, of several runs each
]


def bring(stack: Stack, name: str, *, without_rows: int = 0) -> Path:
    """A copy of the sample, with fewer experiments, and its marker last."""
    drop = stack.arrivals / name
    shutil.copytree(SAMPLE, drop)
    experiments = drop / "user_experiments.csv"
    lines = experiments.read_text().splitlines()
    experiments.write_text("\n".join([*lines[: len(lines) - without_rows], ""]))
    (drop / MARKER).touch()
    return drop


def entries(stack: Stack, *drops: Path) -> list[dict[str, Any]]:
    """What the ledger says of drops that arrived or were loaded again by a backfill, in order.

    Not of the daily run that Airflow may start during a backfill or after it.
    """
    return stack.query(
        "select source, trigger, status from features.pipeline_runs where source = any(%s)"
        " and trigger <> 'scheduled' order by finished_at",
        [str(drop) for drop in drops],
    )


def ended_arrivals(stack: Stack) -> list[dict[str, Any]]:
    """The ended runs that drops have started, the latest last, each with its first task's state."""
    return stack.ask_airflow(
        "select run.run_id, run.state, task.state as extract from dag_run run"
        " join task_instance task on task.run_id = run.run_id and task.task_id = 'extract'"
        " where run.run_type = 'asset_triggered' and run.state in ('success', 'failed')"
        " order by run.end_date"
    )


def settle(stack: Stack) -> int:
    """Waits until no run goes on, and returns how many arrivals have ended."""
    going_on = "select from dag_run where state in ('queued', 'running')"
    wait_until("no run goes on", lambda: not stack.ask_airflow(going_on))
    return len(ended_arrivals(stack))


@pytest.fixture(scope="module")
def arrived(stack: Stack, loaded: dict[str, Any]) -> list[Path]:
    """Three drops by the order of their days, complete within one moment, and loaded."""
    assert loaded["status"] == "loaded"
    days = {"2026-11-22": 3, "2026-11-20": 1, "2026-11-21": 2}
    drops = [bring(stack, day, without_rows=rows) for day, rows in days.items()]
    wait_until("all are loaded", lambda: len(entries(stack, *drops)) == 3)
    settle(stack)
    return sorted(drops)


def test_markers_in_quick_succession_lose_nothing(stack: Stack, arrived: list[Path]) -> None:
    """Each drop gets its run, in the order of the folders, also those that come during a run."""
    seen = entries(stack, *arrived)
    assert [entry["source"] for entry in seen] == [str(drop) for drop in arrived]
    assert {(entry["trigger"], entry["status"]) for entry in seen} == {("asset", "loaded")}


def test_a_marker_written_again_starts_no_second_load(stack: Stack, arrived: list[Path]) -> None:
    """Others have followed the drop: going back to it is not what a marker asks for."""
    runs, before = settle(stack), stack.features()
    (arrived[0] / MARKER).unlink()
    (arrived[0] / MARKER).touch()
    wait_until("the run has ended", lambda: len(ended_arrivals(stack)) > runs)
    last = ended_arrivals(stack)[-1]
    assert (last["state"], last["extract"]) == ("success", "skipped")
    assert stack.features() == before
    assert len(entries(stack, *arrived)) == 3


def test_a_marker_without_files_fails_and_is_told(stack: Stack, mailbox: Mailbox) -> None:
    """The log says what is missing; the mail says where the log is, and whose drop it was."""
    runs, mails = settle(stack), len(mailbox.mails)
    drop = stack.arrivals / "2026-11-23"
    drop.mkdir()
    (drop / MARKER).touch()
    wait_until("the run has failed", lambda: len(ended_arrivals(stack)) > runs)
    assert ended_arrivals(stack)[-1]["state"] == "failed"
    wait_until("a mail has come", lambda: len(mailbox.mails) > mails)
    mail = mailbox.mails[-1]
    assert (mail["Subject"], mail["To"]) == (
        "experiment_features: extract failed",
        "laboratory@example.org",
    )
    assert f"Drop: {drop}" in body(mail)
    assert f"Where to look: {stack.url}/dags/experiment_features/runs/" in body(mail)


def test_a_drop_that_arrives_while_nobody_is_there(stack: Stack) -> None:
    """The next start finds it, and announces nothing else again."""
    runs = settle(stack)
    stack.stop()
    drop = bring(stack, "2026-11-24", without_rows=7)
    stack.start()
    wait_until("it is loaded", lambda: entries(stack, drop))
    assert settle(stack) == runs + 1
    assert [entry["status"] for entry in entries(stack, drop)] == ["loaded"]


def test_a_backfill_loads_the_drops_of_its_days(stack: Stack, arrived: list[Path]) -> None:
    """The older drops again, day by day; the history tells what held when."""
    drops = arrived[:2]
    days = {"from_date": "2026-11-20T00:00:00Z", "to_date": "2026-11-21T12:00:00Z"}
    order = days | {"dag_id": "experiment_features", "run_backwards": False, "dag_run_conf": {}}
    order |= {"reprocess_behavior": "none", "max_active_runs": 1}
    token, before = stack.token(), len(entries(stack, *drops))
    plan = stack.call("/api/v2/backfills/dry_run", order, cookie=token)
    assert [run["logical_date"][:10] for run in plan["backfills"]] == ["2026-11-20", "2026-11-21"]
    assert len(entries(stack, *drops)) == before

    stack.call("/api/v2/backfills", order, cookie=token)
    wait_until("both are loaded again", lambda: len(entries(stack, *drops)) >= before + 2)
    again = entries(stack, *drops)[before:][:2]
    assert [(entry["source"], entry["trigger"], entry["status"]) for entry in again] == [
        (str(drop), "backfill", "loaded") for drop in drops
    ]
    settle(stack)
    (overlaps,) = stack.query(
        "select count(*) from features.user_features_history a join features.user_features_history b"
        " on a.user_id = b.user_id and a.valid_from < b.valid_from and a.valid_to > b.valid_from"
    )
    assert overlaps["count"] == 0
