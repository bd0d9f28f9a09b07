"""A real stack in containers, controlled by the scripts that users run."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from psycopg import sql

import evidence
import waiting
from e2e.local_stack import FEATURES, NOT_SOON, RETRY_NOW, ROOT, RUNS, SAMPLE
from receivers import free_port

SERVICES = ("postgres", "api-server", "scheduler", "dag-processor", "triggerer")
ONE_SHOTS = ("init-postgres", "init")
CELERY = {"COMPOSE_PROFILES": "celery"}
ONE_WORKER = CELERY | {"EXPERIMENT_FEATURES_WORKERS": "1"}

# Airflow waits half a minute for a scheduler, and a minute for a task, before it gives them up.
SCHEDULER_IS_DEAD = """
update job set latest_heartbeat = latest_heartbeat - interval '1 minute'
where job_type = 'SchedulerJob' and state = 'running'
"""
TASK_IS_DEAD = """
update task_instance set last_heartbeat_at = last_heartbeat_at - interval '1 minute'
where state = 'running' and hostname = {host}
"""

# Environment variables that the Docker client itself may need.
CLIENT = ("HOME", "PATH", "XDG_RUNTIME_DIR", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG")


def docker(*arguments: str | Path, timeout: int = 280) -> str:
    """Run the Docker client, assert success and return its output."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


wait_until = partial(waiting.wait_until, seconds=300, every=0.5)  # containers are slow


@dataclass(frozen=True)
class ContainerStack:
    """A stack with its own project name, port, secrets and drops."""

    folder: Path
    port: int
    project: str

    @property
    def secrets(self) -> Path:
        """The folder with the secrets."""
        return self.folder / "secrets"

    @property
    def drops(self) -> Path:
        """The folder that the containers see as /drops."""
        return self.folder / "drops"

    @property
    def url(self) -> str:
        """Airflow's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """A bare environment with the settings of this stack."""
        return {name: os.environ[name] for name in CLIENT if name in os.environ} | {
            "LANG": "C.UTF-8",
            "AIRFLOW_PORT": str(self.port),
            "AIRFLOW_URL": "",  # overrides a developer's .env
            "COMPOSE_FILE": "docker-compose.yaml:tests/docker/overrides.yaml",
            "COMPOSE_PROJECT_NAME": self.project,
            "EXPERIMENT_FEATURES_DROPS": str(self.drops),
            "EXPERIMENT_FEATURES_LOCAL": str(self.folder / "local"),
            "EXPERIMENT_FEATURES_SCHEDULE": NOT_SOON,
            "EXPERIMENT_FEATURES_SECRETS": str(self.secrets),
        }

    def secret(self, name: str) -> str:
        """Return the value of a secret."""
        return (self.secrets / name).read_text()

    def container(self, service: str) -> str:
        """Return the name of a service's container."""
        return f"{self.project}-{service}-1"

    def run(
        self, *command: str | Path, timeout: int = 900, text: str | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder, in a bare environment."""
        return subprocess.run(
            command,
            env=self.environment | environment,
            cwd=ROOT,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def compose(self, *arguments: str, text: str | None = None, **environment: str) -> str:
        """Run docker compose, assert success and return its output."""
        done = self.run("docker", "compose", *arguments, text=text, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, **environment: str) -> None:
        """Start the stack, or bring a running one up to date."""
        done = self.run("scripts/start_docker.sh", **environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def type_in(self, script: str, **environment: str) -> str:
        """Run commands from the documents in the project's folder; return what they print."""
        for name, folder in (
            (".secrets/", self.secrets),
            ("backup/", self.folder / "backup"),
            ("drops/", self.drops),
        ):
            script = script.replace(name, f"{folder}/")
        done = self.run("bash", "-euo", "pipefail", "-c", script, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def remove(self) -> None:
        """Stop the stack and remove it with its volumes."""
        evidence.WITNESSES.remove(self)
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")
        shutil.rmtree(self.folder)

    def evidence(self) -> dict[str, Callable[[Path], object]]:
        """Explains why a test failed: the logs of all containers and tasks, and the ledger."""
        everything = ("--ansi", "never", "--profile", "*")
        task_logs = f"{self.container('api-server')}:/opt/airflow/logs"
        return {
            "containers.txt": lambda to: to.write_text(self.compose(*everything, "ps", "--all")),
            "containers.log": lambda to: to.write_text(
                self.compose(*everything, "logs", "--no-color", "--timestamps")
            ),
            "tasks": lambda to: docker("cp", task_logs, to),
            "pipeline_runs.json": lambda to: evidence.write_rows(to, self.query(evidence.RUNS)),
            "task_instances.json": lambda to: evidence.write_rows(
                to, self.query(evidence.TASKS, "airflow")
            ),
        }

    def trigger(self, *arguments: str | Path) -> dict[str, Any]:
        """Run the DAG and return its result."""
        done = self.run("scripts/trigger_etl.sh", *arguments)
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
        """Wait for a run, but not before its retries; assert that it loaded, return its result."""

        def has_ended() -> bool:
            self.make_time_pass(RETRY_NOW)
            return trigger.poll() is not None

        wait_until("the run has ended", has_ended, seconds=600, every=1)
        output, log = trigger.communicate()
        assert trigger.returncode == 0, log
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        assert result["status"] == "loaded"
        return result

    def psql(self, statement: sql.Composable, database: str) -> subprocess.CompletedProcess[str]:
        """Run a statement as superuser, through the socket inside the container."""
        return self.run(
            *("docker", "compose", "exec", "-T", "postgres", "psql", "--no-psqlrc"),
            *("-qtA", "-U", "postgres", "-d", database, "-c", statement.as_string()),
        )

    def make_time_pass(self, statement: str, **values: str) -> None:
        """Move times in Airflow's database back, if it can be reached."""
        self.psql(sql.SQL(statement).format(**values), "airflow")

    def query(
        self, query: str, database: str = "experiment_features", **values: str | sql.Identifier
    ) -> list[dict[str, Any]]:
        """Query a database, assert success and return the rows.

        Names in braces in the query are replaced by the values.
        """
        as_json = sql.SQL("select coalesce(json_agg(found), '[]') from ({}) as found")
        done = self.psql(as_json.format(sql.SQL(query).format(**values)), database)
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def log_in(self, role: str, password: str, query: str) -> subprocess.CompletedProcess[str]:
        """Run a query as a role over the network, where a password is required."""
        address = f"postgresql://{role}@postgres/experiment_features"
        login = ("exec", "-T", "-e", f"PGPASSWORD={password}", "postgres", "psql", "--no-psqlrc")
        return self.run("docker", "compose", *login, "-qtA", address, "-c", query)

    def features(self) -> list[dict[str, Any]]:
        """All features, with the transaction that wrote each row."""
        return [row for query in FEATURES for row in self.query(query)]

    def task_states(self, run_id: str) -> dict[str, str]:
        """Return the state of each task of a run."""
        query = "select task_id, state from task_instance where run_id = {run_id}"
        tasks = self.query(query, "airflow", run_id=run_id)
        return {task["task_id"]: task["state"] for task in tasks}

    def wait_for_task(self, state: str) -> None:
        """Wait until a task is in this state."""
        query = "select from task_instance where state = {state}"
        wait_until(f"a task is {state}", lambda: self.query(query, "airflow", state=state))

    @contextmanager
    def load_lock(self) -> Iterator[None]:
        """Hold the lock that lets only one load proceed at a time."""
        psql = ("psql", "--no-psqlrc", "-qtA", "-U", "postgres", "-d", "experiment_features")
        session = subprocess.Popen(
            ["docker", "compose", "exec", "-T", "postgres", *psql],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert session.stdin
        assert session.stdout
        session.stdin.write("select pg_advisory_lock(hashtext('experiment_features.load'));\n")
        session.stdin.flush()
        assert session.stdout.readline() == "\n"  # how psql prints void
        try:
            yield
        finally:
            session.communicate(timeout=60)  # closing its input ends the session, if it lives

    @contextmanager
    def waiting_load(self) -> Iterator[subprocess.Popen[str]]:
        """Trigger a run whose load is waiting for the lock; at the end, the load gets it."""
        waiting = "select from pg_stat_activity where wait_event = 'advisory'"
        with self.load_lock():
            trigger = self.start_trigger(SAMPLE, "--conf", '{"force": true}')
            wait_until("a load waits for the lock", lambda: self.query(waiting))
            yield trigger

    def token(self, user: str, password: str | None = None) -> str:
        """Log in and return the token; the stack's accounts have their passwords in the secrets."""
        login = {"username": user, "password": password or self.secret(f"{user}_password")}
        status, answer = self.call("POST", "/auth/token", body=login)
        assert status == 201, answer
        token: str = answer["access_token"]
        return token

    def call(
        self, method: str, path: str, token: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Call Airflow's API; return the status and the answer."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode(errors="replace")

    def outcome(self, run_id: str, token: str) -> str:
        """Wait for a run to end; return `success`, or the failed task's last logged error."""

        def state() -> str | None:
            status, run = self.call("GET", f"{RUNS}/{run_id}", token)
            return run["state"] if status == 200 and run["state"] in ("success", "failed") else None

        if wait_until(f"{run_id} has ended", state) == "success":
            return "success"
        failed = self.call("GET", f"{RUNS}/{run_id}/taskInstances?state=failed", token)[1]
        task = failed["task_instances"][0]
        path = f"{RUNS}/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        log = self.call("GET", f"{path}?full_content=true", token)[1]
        errors = [line for line in log["content"] if line.get("level") in ("error", "critical")]
        return json.dumps(errors[-1])

    def kill_process(self, pid: int) -> None:
        """Kill a container's process behind Docker's back, as the out-of-memory killer would."""
        docker(
            *("run", "--rm", "--pid=host", "--network=none", "--user=0", "--entrypoint=kill"),
            *("experiment-features", "-9", str(pid)),
        )

    def state(self, service: str) -> dict[str, Any]:
        """Return what `docker inspect` says about a service's container."""
        (found,) = json.loads(docker("inspect", self.container(service)))
        answer: dict[str, Any] = found
        return answer

    def crash(self, service: str) -> None:
        """Kill the main process of a service; a scheduler's last heartbeat was a minute ago."""
        self.kill_process(self.state(service)["State"]["Pid"])
        if service == "scheduler":
            self.make_time_pass(SCHEDULER_IS_DEAD)

    @contextmanager
    def small_disk(self) -> Iterator[None]:
        """Mount a disk that is soon full over the scheduler's workspaces."""
        pid = self.state("scheduler")["State"]["Pid"]
        run = (
            *("run", "--rm", "--pid=host", "--network=none", "--user=0"),
            *("--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE"),
            *("--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"),
            *("--entrypoint=nsenter", "experiment-features", f"--target={pid}", "--mount", "--pid"),
        )
        folder = "/opt/airflow/workspaces"
        docker(*run, "mount", "-t", "tmpfs", "-o", "size=16m,uid=50000", "tmpfs", folder)
        try:
            yield
        finally:
            docker(*run, "umount", "--lazy", folder)

    def kill_task(self) -> None:
        """Kill the process of the running task."""
        of_task = re.compile(r"(\d+)\s+airflow worker -- [0-9a-f]{8}-[0-9a-f-]+$", re.MULTILINE)
        top = ("top", self.container("scheduler"), "-eo", "pid,args")
        found = wait_until("a task has a process", lambda: of_task.search(docker(*top)))
        self.kill_process(int(found[1]))

    def wait_for_restart(self, service: str, restarts: int) -> None:
        """Wait until a service has restarted and is healthy."""

        def is_back() -> bool:
            found = self.state(service)
            healthy: bool = found["State"]["Health"]["Status"] == "healthy"
            return found["RestartCount"] > restarts and healthy

        wait_until(f"{service} is back", is_back)


@dataclass(frozen=True)
class FirstRun:
    """The result and features of the first run, before any other."""

    result: dict[str, Any]
    users: list[dict[str, Any]]
    compounds: list[dict[str, Any]]


def make_stack() -> ContainerStack:
    """Return a stack that has not been started."""
    folder = Path(tempfile.mkdtemp(prefix="features-docker-")).resolve()
    folder.chmod(0o755)  # the container's user reads the drops
    stack = ContainerStack(folder, free_port(), f"features-test-{uuid.uuid4().hex[:8]}")
    stack.drops.mkdir()
    evidence.WITNESSES.append(stack)
    return stack
