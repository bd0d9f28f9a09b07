"""The commands in the runbook work as written."""

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

from e2e.local_stack import ROOT, RUNS, SAMPLE, Stack
from e2e.test_readme_commands import type_in
from integration.running import make_drop
from waiting import wait_until

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # each wait has its own timeout
]

RUNBOOK = (ROOT / "docs" / "operations.md").read_text()


def commands(heading: str) -> list[str]:
    """Returns the shell blocks below a heading, including those in lists."""
    _, section = re.split(rf"^#+ {heading}$", RUNBOOK, flags=re.MULTILINE)
    section, *_ = re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)
    return [dedent(block) for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)]


def test_a_number_can_be_traced_to_its_rows_and_files(stack: Stack) -> None:
    """User 2's total leads to the files, the rejected rows and the lines that count."""
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


def test_a_rejected_drop_can_be_examined(stack: Stack) -> None:
    """The command lists the faulty rows, each with its place and the rule it breaks."""
    stack.refusal(SAMPLE, "--conf", '{"max_rejected_percent": 5, "force": true}')
    (command,) = commands("A drop is rejected or refused")
    printed = type_in(stack, command)
    assert re.search(r"user_experiments +\| user_experiments.csv \| +\d+ \| \w+", printed)


def test_disk_use_is_shown(stack: Stack) -> None:
    """The command shows the size of each folder of the local stack."""
    (command,) = commands("The disk is full")
    printed = type_in(stack, command)
    for folder in ("workspaces", "airflow", "postgres"):
        assert re.search(rf"^\S+\t.*/{folder}$", printed, re.MULTILINE)


def post_run(stack: Stack, source: Path | None = SAMPLE) -> str:
    """Triggers a run, by default on the sample drop; returns its id."""
    body = {"logical_date": None, "conf": {"source": source and str(source)}}
    run_id: str = stack.call(RUNS, body, cookie=stack.token())["dag_run_id"]
    return run_id


def assert_stays_queued(stack: Stack, run_id: str) -> None:
    """Asserts that the scheduler leaves the run queued for several of its loops."""
    time.sleep(1)  # test stacks have a quick scheduler: three loops or more
    (run,) = stack.ask_airflow("select state from dag_run where run_id = %s", run_id)
    assert run["state"] == "queued"


def test_a_paused_dag_leaves_its_runs_queued(stack: Stack) -> None:
    """The runs of a paused DAG stay queued until it is unpaused."""
    with stack.paused():
        run_id = post_run(stack)
        assert_stays_queued(stack, run_id)
    assert stack.wait_for_run(run_id)["state"] == "success"


LOCK_HOLDER = """
select pid from pg_locks inner join pg_stat_activity using (pid)
where locktype = 'advisory' and granted and application_name like 'experiment_features cli__%'
"""


@contextmanager
def hanging_load(stack: Stack, source: Path) -> Iterator[subprocess.Popen[str]]:
    """Suspends a command-line run in the middle of its load; resumes it at the end."""
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
                "the load has begun", lambda: connection.execute(LOCK_HOLDER).rowcount, every=0.002
            )
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.5)
            assert connection.execute(LOCK_HOLDER).rowcount == 1
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.wait(60)


def test_a_hanging_load_can_be_ended(stack: Stack, tmp_path: Path) -> None:
    """Other runs wait for a hanging load until its session is found and ended."""
    before = stack.features()
    users = range(1, 30_001)  # loading them takes a second
    large = make_drop({i: f"User {i}" for i in users}, ((i, "1", "1.5") for i in users))
    with hanging_load(stack, large.write(tmp_path)) as hanging:
        trigger = stack.start_trigger(SAMPLE, "--conf", '{"force": true}')
        stack.wait_for_waiting_load()
        behind = post_run(stack)
        assert_stays_queued(stack, behind)
        see, end = commands("The load lock is held")
        (found,) = re.findall(
            r"^ +(\d+) \| experiment_features cli__", type_in(stack, see), re.MULTILINE
        )
        type_in(stack, end.replace("PROCESS", found))
        assert stack.finish(trigger)["status"] == "loaded"
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
def test_a_full_disk_leads_to_a_retry(stack: Stack) -> None:
    """The task reports which disk is full, and its retry succeeds once there is room."""
    workspaces = stack.local / "workspaces"
    with small_disk(workspaces):
        trigger = stack.start_trigger(SAMPLE, "--conf", '{"force": true}')
        query = "select run_id, task_id from task_instance where state = 'up_for_retry'"
        (task,) = wait_until("a task is to be retried", lambda: stack.ask_airflow(query))
        name = task["task_id"]
        path = f"{RUNS}/{task['run_id']}/taskInstances/{name}/logs/1?full_content=true"
        log = stack.call(path, cookie=stack.token())
        for part in ("WorkspaceUnavailable", f"{workspaces}/", "No space left on device"):
            assert part in str(log)
        assert "free disk space" in str(log).lower()
        subprocess.run(["mount", "--options", "remount,size=64m", workspaces], check=True)
        assert stack.finish(trigger)["status"] == "loaded"
    assert stack.tries(task["run_id"])[name] == 2
