"""Drops are loaded when their marker arrives; nobody triggers a run."""

import os
import re
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from local_processes import COMPONENT

import oracle
from comparison import assert_features
from e2e.local_stack import SAMPLE, Stack
from e2e.test_operations import assert_stays_queued, post_run
from experiment_features.drop.arrival import MARKER
from receivers import Mailbox, body
from waiting import wait_until

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # each wait has its own timeout
]


def deliver(stack: Stack, name: str, *, without_rows: int = 0) -> Path:
    """Delivers a copy of the sample with some experiments left out, and then its marker."""
    drop = stack.arrivals / name
    shutil.copytree(SAMPLE, drop)
    experiments = drop / "user_experiments.csv"
    lines = experiments.read_text().splitlines()
    experiments.write_text("\n".join([*lines[: len(lines) - without_rows], ""]))
    (drop / MARKER).touch()
    return drop


def deliver_delta(stack: Stack, name: str, *user_ids: int) -> Path:
    """Delivers new users, and then the manifest."""
    drop = stack.arrivals / name
    drop.mkdir(exist_ok=True)
    for user_id in user_ids:
        users = f"user_id,name,email,signup_date\n{user_id},New,,2026-01-01\n"
        (drop / "users.csv").write_text(users)
    (drop / MARKER).unlink(missing_ok=True)
    (drop / MARKER).write_text('{"mode": "delta"}')
    return drop


def entries(stack: Stack, *drops: Path) -> list[dict[str, Any]]:
    """Returns the ledger's entries of drops that arrived or were backfilled, in order.

    Leaves out the daily run, which Airflow may start during a backfill or after it.
    """
    return stack.query(
        "select source, trigger, status from features.pipeline_runs where source = any(%s)"
        " and trigger <> 'scheduled' and finished_at is not null order by finished_at",
        [str(drop) for drop in drops],
    )


def ended_arrivals(stack: Stack) -> list[dict[str, Any]]:
    """Returns all ended runs that markers started, latest last, and how `extract` ended."""
    return stack.ask_airflow(
        "select run.run_id, run.state, task.state as extract from dag_run run"
        " join task_instance task on task.run_id = run.run_id and task.task_id = 'extract'"
        " where run.run_type = 'asset_triggered' and run.state in ('success', 'failed')"
        " order by run.end_date"
    )


def settle(stack: Stack) -> int:
    """Waits for all runs to end; returns how many of them markers started."""
    active = "select from dag_run where state in ('queued', 'running')"
    wait_until("no run is active", lambda: not stack.ask_airflow(active))
    return len(ended_arrivals(stack))


def component_of(process: psutil.Process) -> str | None:
    """The component that a process is, or works for; of PostgreSQL's there is none."""
    try:
        return process.environ().get(COMPONENT)
    except psutil.NoSuchProcess:
        return None


def kill(processes: list[psutil.Process]) -> None:
    """Kills processes, and waits until they are gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # some end with those that they work for
            process.kill()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == [], "still running 60 s after they were killed"


@pytest.fixture(scope="module")
def arrived(stack: Stack, loaded: dict[str, Any]) -> list[Path]:
    """Three drops that arrived at once and were loaded, in the order of their days."""
    assert loaded["status"] == "loaded"
    days = {"2026-11-22": 3, "2026-11-20": 1, "2026-11-21": 2}
    drops = [deliver(stack, day, without_rows=rows) for day, rows in days.items()]
    wait_until("all are loaded", lambda: len(entries(stack, *drops)) == 3)
    settle(stack)
    return sorted(drops)


def test_no_task_waits_for_its_api(stack: Stack) -> None:
    """Airflow builds the task API on its first request, which comes from start.sh, not a task.

    The first test of its stack: after a crash, a task that waited may be faster.
    """
    log = (stack.local / "logs" / "api-server.log").read_text()
    first, *_ = re.findall(r"path=(/execution/\S+).* status_code=(\d+)", log)
    assert first == ("/execution/health", "200")


def test_markers_in_quick_succession_lose_nothing(stack: Stack, arrived: list[Path]) -> None:
    """Every drop gets its own run, in folder order, even if it arrives during a run."""
    seen = entries(stack, *arrived)
    assert [entry["source"] for entry in seen] == [str(drop) for drop in arrived]
    assert {(entry["trigger"], entry["status"]) for entry in seen} == {("asset", "loaded")}


def test_a_marker_written_again_starts_no_second_load(stack: Stack, arrived: list[Path]) -> None:
    """Touching the marker of a drop that others have followed does not load it again."""
    runs, before = settle(stack), stack.features()
    (arrived[0] / MARKER).unlink()
    (arrived[0] / MARKER).touch()
    wait_until("the run has ended", lambda: len(ended_arrivals(stack)) > runs)
    last = ended_arrivals(stack)[-1]
    assert (last["state"], last["extract"]) == ("success", "skipped")
    entry = stack.ledger()[-1]
    assert (entry["status"], entry["error"]) == ("skipped", "NothingToDo")
    assert "another drop since then: nothing to do" in entry["message"]
    assert stack.features() == before
    assert len(entries(stack, *arrived)) == 3


def test_a_marker_without_files_fails_and_sends_mail(stack: Stack, mailbox: Mailbox) -> None:
    """A marker without files fails its run; a mail names the drop and links to the run."""
    runs = settle(stack)
    drop = stack.arrivals / "2026-11-23"
    drop.mkdir()
    (drop / MARKER).touch()
    wait_until("the run has failed", lambda: len(ended_arrivals(stack)) > runs)
    assert ended_arrivals(stack)[-1]["state"] == "failed"
    (mail,) = wait_until(
        "a mail about the drop has arrived",
        lambda: [mail for mail in mailbox.mails if f"Drop: {drop}" in body(mail)],
    )
    assert (mail["Subject"], mail["To"]) == (
        "experiment_features: extract failed",
        "laboratory@example.org",
    )
    assert f"Where to look: {stack.url}/dags/experiment_features/runs/" in body(mail)
    (drop / MARKER).unlink()  # gives up on it


def test_deltas_wait_for_the_drop_before_them(stack: Stack) -> None:
    """Once it is mended, it is loaded, and then they are, in the order of their paths."""
    runs, before = settle(stack), len(stack.features())
    failed = deliver_delta(stack, "2026-11-23a")  # without files
    wait_until("it is refused", lambda: len(ended_arrivals(stack)) > runs)
    second = deliver_delta(stack, "2026-11-23b", 902)
    wait_until("the next one waits", lambda: len(ended_arrivals(stack)) > runs + 1)
    entry = stack.ledger()[-1]
    assert (entry["status"], entry["source"]) == ("skipped", None)
    assert f"the delta {second} waits, because {failed}" in entry["message"]
    third = deliver_delta(stack, "2026-11-23c", 903)
    deliver_delta(stack, failed.name, 901)
    drops = (failed, second, third)
    wait_until("all are loaded", lambda: len(entries(stack, *drops)) == 4)
    assert [(Path(entry["source"]), entry["status"]) for entry in entries(stack, *drops)] == [
        (failed, "refused"),
        *((drop, "loaded") for drop in drops),
    ]
    assert len(stack.features()) == before + 3


def test_a_drop_that_arrives_after_a_crash(stack: Stack) -> None:
    """The next start recovers, and loads this drop and no other again.

    It does so even if another process has the old PID of PostgreSQL's server. A stop, or a start on
    a taken port, leaves nothing running, also of what has survived the crash. A run that was queued
    while the scheduler was gone waits for the next start.
    """
    runs = settle(stack)
    before = stack.ledger()
    kill([process for process in stack.processes() if component_of(process) == "scheduler"])
    queued = post_run(stack, source=None)
    assert_stays_queued(stack, queued)
    kill([process for process in stack.processes() if component_of(process) != "dag-processor"])
    pid_file = stack.local / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    with socket.create_server(("127.0.0.1", stack.port)):
        refused = stack.run("start.sh")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"start.sh: port {stack.port} is taken")
    assert len(refused.stderr.splitlines()) == 1
    assert stack.processes() == []
    stack.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))

    drop = deliver(stack, "2026-11-24", without_rows=7)
    stack.start()
    wait_until("it is loaded", lambda: entries(stack, drop))
    end = stack.wait_for_run(queued)
    assert (end["state"], end["results"]["load"]["status"]) == ("success", "unchanged")
    assert settle(stack) == runs + 1
    assert [entry["status"] for entry in entries(stack, drop)] == ["loaded"]
    users = stack.query("select * from features.user_features")
    compounds = stack.query("select * from features.compound_features")
    assert_features(oracle.compute(drop), users, compounds)
    after = stack.ledger()
    assert after[: len(before)] == before


def test_a_backfill_loads_the_drops_of_its_days(stack: Stack, arrived: list[Path]) -> None:
    """A backfill loads older drops again, day by day, without overlaps in the history."""
    drops = arrived[:2]
    days = {"from_date": "2026-11-20T00:00:00Z", "to_date": "2026-11-21T23:59:59Z"}
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
