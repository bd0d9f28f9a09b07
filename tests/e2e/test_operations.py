"""The runbook's commands, typed as they are written."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from local_processes import COMPONENT

from e2e.local_stack import DAG, ROOT, RUNS, SAMPLE, Stack
from e2e.test_readme_commands import type_in
from integration.running import make_drop
from waiting import wait_until

pytestmark = [
    pytest.mark.xdist_group("stack"),
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # the waits have their own bounds, of several runs each
]

RUNBOOK = (ROOT / "docs" / "operations.md").read_text()


def commands(heading: str) -> list[str]:
    """The shell blocks below a heading, in lists too."""
    _, section = re.split(rf"^#+ {heading}$", RUNBOOK, flags=re.MULTILINE)
    section, *_ = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)
    return [dedent(block) for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)]


def test_a_number_is_traced_to_its_rows_and_files(stack: Stack) -> None:
    """From user 2's experiments to the files, what was left out, and the lines that count."""
    stack.trigger(SAMPLE)
    features, files, rejected, lines, history = (
        type_in(stack, command) for command in commands("A number looks wrong")
    )
    ((experiments,),) = (
        row.values()
        for row in stack.query(
            "select total_experiments from features.user_features where user_id = 2"
        )
    )
    assert re.search(rf"^ +2 \| +{experiments} \| ", features, re.MULTILINE)
    assert {"users.csv", "user_experiments.csv", "compounds.csv"} <= set(
        re.findall(r"[a-z_]+\.csv", files)
    )
    named = {int(line) for line in re.findall(r"user_experiments\.csv \| +(\d+)", rejected)}
    of_user = {int(line.partition(":")[0]) for line in lines.splitlines()}
    assert len(of_user - named) == experiments
    assert f" {experiments} | " in history


def test_a_rejected_drop_is_looked_into(stack: Stack) -> None:
    """The rules that its rows break, with the first place of each."""
    stack.refusal("--conf", '{"max_rejected_percent": 5}')
    (command,) = commands("A drop is rejected or refused")
    printed = type_in(stack, command)
    assert re.search(r"user_experiments \| \w+ +\| +\d+ \| user_experiments.csv:\d+", printed)


def test_what_takes_room(stack: Stack) -> None:
    """The folders of the local stack, with their sizes."""
    (command,) = commands("The disk is full")
    printed = type_in(stack, command)
    for folder in ("workspaces", "airflow", "postgres"):
        assert re.search(rf"^\S+\t.*/{folder}$", printed, re.MULTILINE)


def post_run(stack: Stack) -> str:
    """Asks for a run of the sample drop; returns its id."""
    body = {"logical_date": None, "conf": {"source": str(SAMPLE)}}
    run_id: str = stack.call(RUNS, body, cookie=stack.token())["dag_run_id"]
    return run_id


def assert_stays_queued(stack: Stack, run_id: str) -> None:
    """Several turns of the scheduler leave the run as it is."""
    time.sleep(4)
    (run,) = stack.ask_airflow("select state from dag_run where run_id = %s", run_id)
    assert run["state"] == "queued"


def test_a_paused_dag_leaves_its_runs_queued(stack: Stack) -> None:
    """They start when it is unpaused."""
    stack.call(DAG, {"is_paused": True}, cookie=stack.token(), method="PATCH")
    try:
        run_id = post_run(stack)
        assert_stays_queued(stack, run_id)
    finally:
        stack.call(DAG, {"is_paused": False}, cookie=stack.token(), method="PATCH")
    assert stack.wait_for_run(run_id)["state"] == "success"


def test_without_a_scheduler_runs_stay_queued(stack: Stack) -> None:
    """They start when start.sh has started what is missing."""
    (scheduler,) = (
        process
        for process in stack.processes()
        if process.environ().get(COMPONENT) == "scheduler" and process.ppid() == 1
    )
    scheduler.kill()
    scheduler.wait(30)
    run_id = post_run(stack)
    assert_stays_queued(stack, run_id)
    type_in(stack, "scripts/start.sh")
    assert stack.wait_for_run(run_id)["state"] == "success"


LOCK_HOLDER = """
select pid from pg_locks inner join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and application_name like 'experiment_features cli__%'
"""


@contextmanager
def hanging_load(stack: Stack, source: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of the command line that is stopped in the midst of its load; goes on at the end."""
    url = stack.database_url("features_writer", "experiment_features")
    process = subprocess.Popen(
        [sys.executable, "-m", "experiment_features", "run", source, "--database-url", url],
        env=stack.environment | {"PYTHONPATH": str(ROOT / "include")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with stack.connect("postgres", "experiment_features") as connection:
            wait_until(
                "the load has begun", lambda: connection.execute(LOCK_HOLDER).rowcount, 120, 0.002
            )
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            assert connection.execute(LOCK_HOLDER).rowcount == 1
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.wait(60)


def test_a_load_that_hangs_is_ended(stack: Stack, tmp_path: Path) -> None:
    """It holds up a run, and the one behind stays queued, until its session is found and ended."""
    before = stack.features()
    users = range(1, 30_001)  # their load takes a second
    large = make_drop({i: f"User {i}" for i in users}, ((i, "1", "1.5") for i in users))
    with hanging_load(stack, large.write(tmp_path)) as hanging:
        trigger = stack.start_trigger("--conf", '{"force": true}')
        stack.wait_for_waiting_load()
        behind = post_run(stack)
        assert_stays_queued(stack, behind)
        see, end = commands("The load lock is held")
        (found,) = re.findall(
            r"^ +(\d+) \| experiment_features cli__", type_in(stack, see), re.MULTILINE
        )
        type_in(stack, end.replace("PROCESS", found))
        output, log = trigger.communicate(timeout=200)
    assert trigger.returncode == 0, log
    assert '"status": "loaded"' in output
    assert stack.wait_for_run(behind)["state"] == "success"
    assert stack.features() == before
    _, error = hanging.communicate(timeout=60)
    assert hanging.returncode == 3
    assert re.fullmatch(r"database: cannot load run cli__.*\n", error)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mounts a disk of four pages over a folder."""
    mount = ["mount", "--types", "tmpfs", "--options", "size=16k", "tmpfs", folder]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_waited_for(stack: Stack) -> None:
    """The task says what is full, and goes on when there is room."""
    workspaces = stack.local / "workspaces"
    with small_disk(workspaces):
        trigger = stack.start_trigger("--conf", '{"force": true}')
        query = """select run_id, id from task_instance
            where state = 'up_for_retry' and task_id = 'extract'"""
        (task,) = wait_until("extract waits for room", lambda: stack.ask_airflow(query))
        path = f"{RUNS}/{task['run_id']}/taskInstances/extract/logs/1?full_content=true"
        log = stack.call(path, cookie=stack.token())
        assert f"extract cannot work in {workspaces}" in str(log)
        assert "No space left on device" in str(log)
        subprocess.run(["mount", "--options", "remount,size=64m", workspaces], check=True)
        output, error = trigger.communicate(timeout=200)
    assert trigger.returncode == 0, error
    assert '"status": "loaded"' in output
    assert stack.tries(task["run_id"])["extract"] == 2
