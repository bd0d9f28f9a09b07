"""A real stack, PostgreSQL and Airflow, controlled by the scripts that users run."""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import local_postgres
import psutil
import psycopg
from psycopg.rows import dict_row

import evidence
from receivers import free_port
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "include" / "data" / "sample"

DAG = "/api/v2/dags/experiment_features"
QUICK_SCHEDULER = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25"}
"""By default the scheduler sleeps a second whenever it has found nothing to do: four in a run.

With 0.1 a run would end 0.4 s earlier, but an idle stack would take 23 % of a core instead of 11 %,
as long as any test runs.
"""

NOT_SOON = f"0 {(datetime.now(UTC).hour + 12) % 24} * * *"
"""The daily run is half a day away, whenever the tests run."""

COVERAGE = ("COVERAGE_FILE", "COVERAGE_PROCESS_START")
"""Where scripts/test.sh collects the lines that the tests have run."""

RUNS = f"{DAG}/dagRuns"

RETRY_NOW = """
update task_instance set end_date = end_date - interval '1 hour' where state = 'up_for_retry'
"""
"""Ends the wait before the next try, 15 to 30 s (tests/dags/test_features_dag.py checks the delay)."""

FEATURES = (
    "select xmin::text, * from features.user_features order by user_id",
    "select xmin::text, * from features.compound_features order by compound_id",
)
"""All features, with the transaction that wrote each row."""


@dataclass(frozen=True)
class Stack:
    """A local stack with its own state folder and port."""

    folder: Path
    """Holds the stack's home, drops and state."""
    port: int

    @property
    def local(self) -> Path:
        """The folder used instead of .local/."""
        return self.folder / "local"

    @property
    def drops(self) -> Path:
        """A folder that runs may read from, apart from that of the sample drop."""
        return self.folder / "drops"

    @property
    def arrivals(self) -> Path:
        """The folder that is watched for drops."""
        return self.drops / "arrivals"

    @property
    def url(self) -> str:
        """Airflow's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """A bare environment with the settings of this stack."""
        return {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "AIRFLOW_PORT": str(self.port),
            "AIRFLOW_URL": "",  # overrides a developer's .env
            "EXPERIMENT_FEATURES_LOCAL": str(self.local),
            "EXPERIMENT_FEATURES_SOURCE_ROOTS": f"{SAMPLE.parent},{self.drops},s3://lab@laboratory/drops",
            "EXPERIMENT_FEATURES_WATCH": str(self.arrivals),
            "EXPERIMENT_FEATURES_SCHEDULE": NOT_SOON,
            "EXPERIMENT_FEATURES_ALERTS": "laboratory@example.org",
            **{name: os.environ[name] for name in COVERAGE if name in os.environ},
        }

    def run(
        self, script: str, *arguments: str | Path, timeout: int = 280, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script from another folder, in a bare environment."""
        return subprocess.run(
            [ROOT / "scripts" / script, *arguments],
            env=self.environment | environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, **environment: str) -> str:
        """Start the stack and return what the script said."""
        done = self.run("start.sh", **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_up(self) -> bool:
        """Whether start.sh reports that the stack is running already."""
        return "is running already" in self.start()

    def stop(self) -> None:
        """Stop the stack and check that no process is left."""
        done = self.run("stop.sh")
        assert done.returncode == 0, done.stdout + done.stderr
        assert self.processes() == []

    def remove(self) -> None:
        """Stop the stack and remove its folder."""
        evidence.WITNESSES.remove(self)
        self.stop()
        shutil.rmtree(self.folder)

    def evidence(self) -> dict[str, Callable[[Path], object]]:
        """Explains why a test failed: the logs of all components and tasks, and the ledger."""
        logs = {
            "components": self.local / "logs",
            "tasks": self.local / "airflow" / "logs",
        }
        database = self.local / "postgres" / "data" / "server.log"
        return {name: partial(shutil.copytree, folder) for name, folder in logs.items()} | {
            "postgres.log": partial(shutil.copyfile, database),
            "pipeline_runs.json": lambda to: evidence.write_rows(to, self.ledger()),
            "task_instances.json": lambda to: evidence.write_rows(
                to, self.ask_airflow(evidence.TASKS)
            ),
        }

    def trigger(self, *arguments: str | Path) -> dict[str, Any]:
        """Run the DAG and return its result."""
        done = self.run("trigger_etl.sh", *arguments)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result

    def start_trigger(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Trigger a run of the DAG without waiting for it."""
        return subprocess.Popen(
            [ROOT / "scripts" / "trigger_etl.sh", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, trigger: subprocess.Popen[str]) -> dict[str, Any]:
        """Wait for a run, but not before its retries; assert success and return its result."""

        def has_ended() -> bool:
            with self.connect("airflow", "airflow") as connection:
                connection.execute(RETRY_NOW)
            return trigger.poll() is not None

        wait_until("the run has ended", has_ended)
        output, log = trigger.communicate()
        assert trigger.returncode == 0, log
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        return result

    def refusal(self, *arguments: str | Path, **environment: str) -> str:
        """Run the DAG, check that it fails with one clear line, and return that line."""
        done = self.run("trigger_etl.sh", *arguments, **environment)
        assert (done.returncode, done.stdout) == (1, "")
        *progress, line = done.stderr.splitlines()
        assert not [other for other in progress if "trigger_etl.sh" in other or "rror" in other]
        return line.removeprefix("trigger_etl.sh: ")

    def database_url(self, role: str, database: str) -> str:
        """The URL of a database on the stack's server."""
        return local_postgres.database_url(self.local / "postgres", role, database)

    def connect(self, role: str, database: str) -> psycopg.Connection[dict[str, Any]]:
        """Connect to the stack's server."""
        url = self.database_url(role, database)
        return psycopg.connect(url, row_factory=dict_row, autocommit=True)

    def query(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Query the features database as the read-only role."""
        with self.connect("features_reader", "experiment_features") as connection:
            return connection.execute(query, values).fetchall()

    def ledger(self) -> list[dict[str, Any]]:
        """All runs, the latest last, with the messages that the read-only role may not see."""
        with self.connect("features_writer", "experiment_features") as connection:
            return connection.execute(evidence.RUNS).fetchall()

    def features(self) -> list[dict[str, Any]]:
        """All features with the transaction that wrote each row."""
        return [row for query in FEATURES for row in self.query(query)]

    def password(self, user: str = "admin") -> str:
        """Return the password of ``admin`` or of the read-only ``viewer``."""
        passwords: dict[str, str] = json.loads(
            (self.local / "airflow" / "passwords.json").read_text()
        )
        return passwords[user]

    def token(self, user: str = "admin") -> str:
        """Log in as one of the stack's users and return the token."""
        login = {"username": user, "password": self.password(user)}
        token: str = self.call("/auth/token", login)["access_token"]
        return token

    def call(
        self, path: str, body: Any = None, *, cookie: str = "", method: str | None = None
    ) -> Any:
        """Call Airflow as its UI does and return the last line of the answer."""
        headers = {"Content-Type": "application/json", "Cookie": f"_token={cookie}"}
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return json.loads(answer.read().splitlines()[-1])

    def configure_airflow(self, settings: dict[str, str]) -> None:
        """Write a user's Airflow settings, which the next start reads; the scheduler is quick."""
        self.local.mkdir(exist_ok=True)
        lines = [f"{name}={value}" for name, value in (QUICK_SCHEDULER | settings).items()]
        (self.local / "airflow.env").write_text("\n".join(lines))

    def ask_airflow(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Query Airflow's database."""
        with self.connect("airflow", "airflow") as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the DAG's runs queued meanwhile."""
        self.call(DAG, {"is_paused": True}, cookie=self.token(), method="PATCH")
        try:
            yield
        finally:
            self.call(DAG, {"is_paused": False}, cookie=self.token(), method="PATCH")

    def wait_for_waiting_load(self) -> None:
        """Wait until a load is waiting for the load lock."""
        waiting = "select from pg_stat_activity where wait_event = 'advisory'"
        with self.connect("postgres", "postgres") as server:
            wait_until("a load waits for the lock", lambda: server.execute(waiting).rowcount)

    def wait_for_run(self, run_id: str) -> Any:
        """Wait for a run to end and return its state and the result of its load."""
        path = f"{RUNS}/{urllib.parse.quote(run_id)}/wait?interval=1&result=load"
        return self.call(path, cookie=self.token())

    def tries(self, run_id: str) -> dict[str, int]:
        """Return how many tries each task of a run took."""
        with self.connect("airflow", "airflow") as connection:
            tasks = connection.execute(
                "select task_id, try_number from task_instance where run_id = %s", [run_id]
            )
            return {task["task_id"]: task["try_number"] for task in tasks}

    @contextmanager
    def without_features_database(self) -> Iterator[Callable[[], None]]:
        """Close the features database; gives a function that waits until a task is to be retried."""
        close = "alter database experiment_features allow_connections {}"

        def wait_for_retry() -> None:
            query = "select from task_instance where state = 'up_for_retry'"
            wait_until("a task waits for a retry", lambda: self.ask_airflow(query))

        with self.connect("postgres", "postgres") as connection:
            connection.execute(close.format("false"))
            try:
                yield wait_for_retry
            finally:
                connection.execute(close.format("true"))

    def processes(self) -> list[psutil.Process]:
        """Return all running processes of the stack."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("EXPERIMENT_FEATURES_STACK") == str(self.local)
                ours = ours or Path(process.cwd()).is_relative_to(self.local)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found


def make_stack() -> Stack:
    """Return a stack that has not been started."""
    # Not tmp_path: PostgreSQL's user must be able to enter it when root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="features-e2e-")).resolve()
    folder.chmod(0o755)
    stack = Stack(folder, free_port())
    stack.arrivals.mkdir(parents=True)
    evidence.WITNESSES.append(stack)
    return stack
