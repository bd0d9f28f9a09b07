"""Measures a run through Airflow, from POST dagRuns to its end, and a DAG of four empty tasks.

Both DAGs take turns in one local stack; then the empty tasks run in another one, under Airflow's
default settings. The pipeline reads the sample drop with ``force``, so that every stage does all of
its work. Also measures how long the DAG takes to parse, and the memory of the idle stack.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg
from local_postgres import data_folder, database_url, servers
from local_processes import COMPONENT, stack_processes
from psycopg.rows import dict_row

from benchmarks.figures import DEFAULT_SIDE
from benchmarks.measure import ROOT, Facts, in_rounds

TIMEOUT_SECONDS = 120
POLL_SECONDS = 0.01
IDLE_SECONDS = 60
EMPTY_DAGS = Path(__file__).parent / "empty"
SIDES = {"pipeline": ("experiment_features", {"force": True}), "empty": ("empty_tasks", {})}

DEFAULTS = """
import configparser, multiprocessing, sys
from airflow.configuration import conf
own = configparser.ConfigParser(interpolation=None)
own.read(sys.argv[1])
for section in own.sections():
    for key in set(own[section]) - {"load_examples", "mp_forkserver_preload"}:
        default = conf.get_default_value(section, key) or multiprocessing.get_start_method()
        print(f"AIRFLOW__{section.upper()}__{key.upper()}={default}")
"""
"""Prints Airflow's defaults of all that a configuration sets; only mp_start_method has none."""

BUNDLES = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST={}\n"
LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"

RESULT = "/api/v2/dags/{}/dagRuns/{}/taskInstances/load/xcomEntries/return_value?deserialize=true"

RUN_TIMES = """
select state, queued_at, start_date, end_date from dag_run where run_id = %s
"""
TASK_TIMES = """
select task_id, scheduled_dttm, queued_dttm, start_date, end_date
from task_instance where run_id = %s order by start_date
"""
PARSE = """
import runpy, sys, time
import airflow.sdk
started = time.perf_counter()
runpy.run_path(sys.argv[1])
print(time.perf_counter() - started)
"""


class Stack:
    """A running local stack with both DAGs."""

    def __init__(self, local: Path, port: int) -> None:
        """Takes a folder for the state and a port; starts nothing."""
        self.local, self.port = local, port
        self._token = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment for its scripts."""
        settings = {"AIRFLOW_PORT": str(self.port), "EXPERIMENT_FEATURES_LOCAL": str(self.local)}
        return {**os.environ, **settings}

    def script(self, name: str, *arguments: str) -> None:
        """Runs one of the project's scripts."""
        command: list[str | Path] = [ROOT / "scripts" / name, *arguments]
        subprocess.run(command, check=True, env=self.environment, stdout=sys.stderr)

    def call(self, path: str, body: Any = None) -> Any:
        """Calls Airflow's API and returns its answer."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return json.load(answer)

    def log_in(self) -> None:
        """Gets the token for all further calls."""
        passwords = json.loads((self.local / "airflow" / "passwords.json").read_text())
        login = {"username": "admin", "password": passwords["admin"]}
        self._token = self.call("/auth/token", login)["access_token"]

    def ask(self, query: str, *values: str) -> list[Facts]:
        """Returns the rows of a query to Airflow's database."""
        url = database_url(self.local / "postgres", "airflow", "airflow")
        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), values).fetchall()


@contextmanager
def running_stack(folder: Path, port: int, *, has_defaults: bool = False) -> Iterator[Stack]:
    """Starts a stack and warms it up with one run of each DAG; stops it at the end.

    Args:
        folder: takes its state.
        port: of its API.
        has_defaults: whether Airflow has its default settings.
    """
    stack = Stack(folder / ("defaults" if has_defaults else "local"), port)
    stack.local.mkdir(parents=True)
    bundles = [
        {"name": "dags-folder", "classpath": LOCAL_BUNDLE, "kwargs": {}},
        {"name": "empty", "classpath": LOCAL_BUNDLE, "kwargs": {"path": str(EMPTY_DAGS)}},
    ]
    settings = BUNDLES.format(json.dumps(bundles))
    if has_defaults:
        settings += _output_of(DEFAULTS, ROOT / "deploy" / "airflow" / "airflow.cfg")
    (stack.local / "airflow.env").write_text(settings)
    try:
        stack.script("start.sh")
        stack.log_in()
        _wait_until(
            "Airflow to know the empty DAG",
            lambda: stack.ask("select from dag where dag_id = 'empty_tasks' and not is_stale"),
        )
        for dag_id, conf in SIDES.values():
            run_dag(stack, dag_id, conf)
        yield stack
    finally:
        stack.script("stop.sh")


def measure_latency(folder: Path, port: int, rounds: int) -> tuple[list[Facts], Facts]:
    """Returns runs of both DAGs, taking turns; and figures of idle stack, script and parsing."""
    with running_stack(folder, port) as stack:
        sides = {side: partial(_measured_run, stack, *SIDES[side]) for side in SIDES}
        rows = in_rounds(rounds, sides, {})
        answers = [_answer_seconds(stack) for _ in range(rounds)]
        percent, memory = _idle_percent(stack), _idle_memory(stack)
    with running_stack(folder, port, has_defaults=True) as stack:
        by_default = {DEFAULT_SIDE: partial(_measured_run, stack, *SIDES["empty"])}
        rows += in_rounds(rounds, by_default, {})
    parses = [_parse_seconds() for _ in range(rounds)]
    return rows, {
        "memory_mib": memory,
        "idle_percent": percent,
        "answer_seconds": answers,
        "parse_seconds": parses,
    }


def _answer_seconds(stack: Stack) -> float:
    """Returns how long after the end of its run the trigger script prints the result."""
    command: list[str | Path] = [ROOT / "scripts" / "trigger_etl.sh", "--conf", '{"force": true}']
    with subprocess.Popen(
        command, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as script:
        answer = script.stdout.readline() if script.stdout else ""
        answered_at = datetime.now(UTC)
    (run,) = stack.ask(RUN_TIMES, json.loads(answer)["run_id"].partition("/")[0])
    return round((answered_at - run["end_date"]).total_seconds(), 3)


def _idle_percent(stack: Stack) -> float:
    """Returns the share of a core that all processes of the idle stack take."""
    postgres = servers(data_folder(stack.local / "postgres"))
    before, started = _cpu_seconds(stack, postgres), time.monotonic()
    time.sleep(IDLE_SECONDS)
    used = _cpu_seconds(stack, postgres) - before
    return round(100 * used / (time.monotonic() - started), 1)


def _measured_run(stack: Stack, dag_id: str, conf: Facts) -> Facts:
    """Runs a DAG and adds the CPU seconds of Airflow's processes."""
    before = _cpu_seconds(stack)
    facts = run_dag(stack, dag_id, conf)
    run_id = quote(facts.pop("run_id"), safe="")
    facts["cpu_seconds"] = round(_cpu_seconds(stack) - before, 2)
    if dag_id == SIDES["pipeline"][0]:
        found = stack.call(RESULT.format(dag_id, run_id))
        facts["stage_seconds"] = round(sum(found["value"]["seconds"].values()), 3)
    return facts


def _cpu_seconds(stack: Stack, others: Sequence[psutil.Process] = ()) -> float:
    """Returns the CPU seconds of Airflow's and other processes, and of their ended children."""
    total = 0.0
    for process in [*stack_processes(str(stack.local)), *others]:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def run_dag(stack: Stack, dag_id: str, conf: Facts) -> Facts:
    """Runs a DAG; returns the run's id, how many seconds it took, and how they were spent."""
    posted_at, started = datetime.now(UTC), time.perf_counter()
    run_id = f"api__{posted_at:%Y-%m-%dT%H:%M:%S.%fZ}"
    body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
    stack.call(f"/api/v2/dags/{dag_id}/dagRuns", body)

    def ended_run() -> list[Facts]:
        (run,) = stack.ask(RUN_TIMES, run_id)
        return [run] if run["state"] in ("success", "failed") else []

    (run,) = _wait_until(f"run {run_id} of {dag_id} to end", ended_run)
    seconds = time.perf_counter() - started
    if run["state"] != "success":
        sys.exit(f"run {run_id} of {dag_id} failed")
    parts = _parts(posted_at, run, stack.ask(TASK_TIMES, run_id))
    return {"run_id": run_id, "seconds": round(seconds, 3), "parts": parts}


def _parts(posted_at: datetime, run: Facts, tasks: list[Facts]) -> dict[str, float]:
    """Returns how the seconds were spent, summed over the tasks."""
    parts = {
        "request": run["queued_at"] - posted_at,
        "run waits for the scheduler": run["start_date"] - run["queued_at"],
    }
    ended_at = run["start_date"]
    for task in tasks:
        for name, begin, end in (
            ("task waits for the scheduler", ended_at, task["scheduled_dttm"]),
            ("scheduled to queued", task["scheduled_dttm"], task["queued_dttm"]),
            ("queued to started", task["queued_dttm"], task["start_date"]),
            ("tasks", task["start_date"], task["end_date"]),
        ):
            parts[name] = parts.get(name, end - end) + (end - begin)
        ended_at = task["end_date"]
    parts["end is seen by the scheduler"] = run["end_date"] - ended_at
    return {name: round(part.total_seconds(), 3) for name, part in parts.items()}


def _wait_until(what: str, condition: Any) -> Any:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (found := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"waited {TIMEOUT_SECONDS} s in vain for {what}")
        time.sleep(POLL_SECONDS)
    return found


def _idle_memory(stack: Stack) -> dict[str, float]:
    """Returns the proportional set size of each component in MiB."""
    sums: dict[str, float] = {}
    postgres = servers(data_folder(stack.local / "postgres"))
    for process in [*stack_processes(str(stack.local)), *postgres]:
        with suppress(psutil.NoSuchProcess):
            name = process.environ().get(COMPONENT, "PostgreSQL")
            sums[name] = sums.get(name, 0) + process.memory_full_info().pss / 2**20
    return {name: round(mib, 1) for name, mib in sums.items()}


def _parse_seconds() -> float:
    output = _output_of(PARSE, ROOT / "dags" / "features_dag.py")
    return round(float(output.splitlines()[-1]), 3)


def _output_of(program: str, argument: Path) -> str:
    path = ":".join(str(ROOT / part) for part in ("include", "dags", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", program, argument],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
