"""Soak: an unattended local stack, a drop a minute, most of them deltas, some bad, and kills.

Each drop is written to a dated folder and then gets its marker `_READY`; nobody triggers a run. In
the first half, the stack is stopped and restarted once, and killed and restarted once, while drops
keep arriving, and of each delta's run a task is killed. In the second half nothing is, to see
whether memory grows.

In the end, exactly one run must have taken each drop, with the right outcome and one entry in the
ledger, and the features after each load must be those of the rows that the drops until then leave,
counted here from their files; no component may use more memory than it did once warm; logs and
workspaces must not grow faster in the second half than in the first. Progress and figures are JSON
lines on standard output.

What happened so far is kept in `soak.json`, from which a soak that was stopped goes on: from the
middle, if it was in the second half, whose memory is only comparable without a restart.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("new", "identical", *["delta"] * 10, "rejected", "new", "delta", "refused", "new", "empty")
"""A snapshot comes after each drop that does not load, as deltas wait for one."""

ENDS = {
    "new": ("success", ["loaded"]),
    "delta": ("success", ["loaded"]),
    "identical": ("success", ["unchanged"]),
    "rejected": ("failed", ["rejected"]),
    "refused": ("failed", ["refused"]),
    "empty": ("failed", ["refused"]),
}
"""For each kind of drop: the state of its run, and its entries in the ledger."""

MANIFEST = '{"mode": "delta"}'
TASK = re.compile(r"airflow worker -- [0-9a-f-]{36} *")
FEATURES = """
select given.source, f.user_id, f.user_name, f.total_experiments, f.most_common_compound_id
from features.pipeline_runs as given,
    lateral features.user_features_as_of(given.finished_at) as f
where given.status = 'loaded'
"""
"""As they were after each load."""

USERS, EXPERIMENTS, COMPOUNDS = 500, 5_000, 50
EVERY_SECONDS = 60
LAST_WAIT_SECONDS = 900
MOST_GROWTH = 1.10
LEAST_BYTES = 30 * 2**20
"""Growth below this, or below a tenth, does not count: caches fill up."""

HEADINGS = {
    "users": "user_id,name,email,signup_date",
    "compounds": "compound_id,compound_name,compound_structure",
    "user_experiments": "experiment_id,user_id,experiment_compound_ids,experiment_run_time",
    "deleted_user_experiments": "experiment_id",
}

Features = tuple[Any, ...]
"""Name, number of experiments, and most common compound."""

STAMP = "EXPERIMENT_FEATURES_STACK", "EXPERIMENT_FEATURES_COMPONENT"


@dataclass
class Soak:
    """A stack, its drops so far, and what was measured."""

    folder: Path
    port: int
    seed: str
    drops: list[tuple[str, str]] = field(default_factory=list)
    """Kind and folder of each."""
    samples: list[dict[str, Any]] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    """Those that are done."""
    kills: int = 0
    """How many tasks were killed."""
    minutes: float = 0

    def keep(self) -> None:
        """Keeps what happened so far."""
        names = ("drops", "samples", "restarts", "kills", "minutes")
        draft = self.folder / "soak.draft"
        draft.write_text(json.dumps({name: getattr(self, name) for name in names}))
        draft.replace(self.folder / "soak.json")

    def go_on(self, minutes: float) -> None:
        """Takes up what happened before a soak of so many minutes was stopped, if it was."""
        state = self.folder / "soak.json"
        if state.exists():
            vars(self).update(json.loads(state.read_text()))
            self.minutes = min(self.minutes, minutes / 2)
            self.samples = [taken for taken in self.samples if taken["minute"] <= self.minutes]
            if self.drops:  # it may have been stopped before it gave the last one its marker
                self.announce(*self.drops[-1])

    @property
    def local(self) -> Path:
        """The folder of the stack's state."""
        return self.folder / "local"

    def script(self, name: str) -> None:
        """Runs one of the project's scripts."""
        settings = {
            "AIRFLOW_PORT": str(self.port),
            "EXPERIMENT_FEATURES_LOCAL": str(self.local),
            "EXPERIMENT_FEATURES_SOURCE_ROOTS": str(self.folder / "drops"),
        }
        done = subprocess.run(
            [ROOT / "scripts" / name],
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name} failed: {done.stdout}{done.stderr}")

    def query(self, role: str, database: str, query: str) -> list[dict[str, Any]]:
        """Returns the rows of a query to one of the stack's databases."""
        server = (self.local / "postgres" / "socket").readlink()
        with psycopg.connect(
            host=str(server), user=role, dbname=database, row_factory=dict_row
        ) as connection:
            return connection.execute(query).fetchall()

    def drop(self) -> None:
        """Delivers the next drop, with its marker last."""
        number = len(self.drops)
        kind = KINDS[number % len(KINDS)]
        day = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=number)
        folder = self.folder / "drops" / f"{day:%Y-%m-%d}"
        if kind == "identical":
            ready = shutil.ignore_patterns("_READY")
            shutil.copytree(self.drops[-1][1], folder, ignore=ready, dirs_exist_ok=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            if kind == "delta":
                self.write_delta(folder)
            elif kind != "empty":
                self.write(folder, kind)
        self.drops.append((kind, str(folder)))
        self.keep()  # before the marker: no drop that arrived may be forgotten
        self.announce(*self.drops[-1])
        say("drop", number=number, kind=kind, folder=folder.name)

    def announce(self, kind: str, folder: str) -> None:
        """Gives a drop its marker, unless it has one."""
        draft, marker = Path(folder) / "draft", Path(folder) / "_READY"
        if not marker.exists():
            draft.write_text(MANIFEST if kind == "delta" else "")
            draft.rename(marker)

    def random(self) -> Random:
        """The numbers of the next drop."""
        return Random(f"{self.seed}/{len(self.drops)}")  # noqa: S311

    def write_delta(self, folder: Path) -> None:
        """Writes experiments that are new, changed or deleted, and a user whose name changes."""
        random, first = self.random(), EXPERIMENTS + 100 * len(self.drops)
        pick = random.randint
        touched = random.sample(range(1, EXPERIMENTS + 1), 60)
        experiments = [
            f"{i},{pick(1, USERS)},{pick(1, COMPOUNDS)};{pick(1, COMPOUNDS)},{pick(1, 99)}"
            for i in (*touched[:40], *range(first, first + 20))
        ]
        renamed = pick(1, USERS)
        tables = {
            "users": [f"{renamed},User {renamed} of {first},,2023-01-01"],
            "user_experiments": experiments,
            "deleted_user_experiments": [str(i) for i in touched[40:]],
        }
        self.write_tables(folder, tables)

    def write_tables(self, folder: Path, tables: dict[str, list[str]], **headings: str) -> None:
        """Writes rows of some tables below their headings."""
        for name, rows in tables.items():
            heading = headings.get(name, HEADINGS[name])
            (folder / f"{name}.csv").write_text("\n".join([heading, *rows, ""]))

    def write(self, folder: Path, kind: str) -> None:
        """Writes the three tables of a drop, with different experiments each time."""
        pick = self.random().randint
        users = [f"{i},User {i},user{i}@example.org,2023-01-01" for i in range(1, USERS + 1)]
        compounds = [f"{i},Compound {i},C{i}" for i in range(1, COMPOUNDS + 1)]
        experiments = [
            f"{i},{pick(1, USERS)},{pick(1, COMPOUNDS)};{pick(1, COMPOUNDS)},{pick(1, 99)}"
            for i in range(1, EXPERIMENTS + 1)
        ]
        if kind == "rejected":
            experiments[::2] = [row.replace(",", ",99", 1) for row in experiments[::2]]
        tables = {"users": users, "compounds": compounds, "user_experiments": experiments}
        wrong = {"users": "user_id,name,email,signed_up"} if kind == "refused" else {}
        self.write_tables(folder, tables, **wrong)

    def kill_task(self) -> None:
        """Kills a task of the next run at a random moment, as a machine without memory would."""
        time.sleep(self.random().uniform(0, 5))
        deadline = time.monotonic() + EVERY_SECONDS / 2
        while time.monotonic() < deadline:
            for process, _ in self.processes():
                with suppress(psutil.Error):
                    if TASK.fullmatch(" ".join(process.cmdline())):
                        process.kill()
                        self.kills += 1
                        say("killed a task")
                        return
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills every process of the stack, as a power cut would."""
        for process, _ in self.processes():
            process.kill()

    def processes(self) -> Iterator[tuple[psutil.Process, str]]:
        """Yields the stack's processes, each with its component."""
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                if environment.get(STAMP[0]) == str(self.local):
                    yield process, environment[STAMP[1]]
                elif Path(process.cwd()).is_relative_to((self.local / "postgres").resolve()):
                    yield process, "postgres"
            except (psutil.Error, KeyError):
                continue

    def sample(self, minute: float) -> None:
        """Measures memory by component, and disk use."""
        memory: dict[str, int] = defaultdict(int)
        for process, component in self.processes():
            try:
                memory[component] += process.memory_full_info().uss
            except psutil.Error:
                continue
        sizes = {
            "logs": size(self.local / "logs") + size(self.local / "airflow" / "logs"),
            "workspaces": size(self.local / "workspaces"),
        }
        taken = {
            "minute": round(minute, 1),
            "drops": len(self.drops),
            "memory": dict(memory),
            **sizes,
        }
        self.samples.append(taken)
        say("sample", **taken)

    def age_workspaces(self) -> None:
        """Makes workspaces older than ten minutes look old enough to be removed."""
        past = time.time() - 8 * 24 * 3600
        for workspace in (self.local / "workspaces").iterdir():
            newest = max((path.stat().st_mtime for path in workspace.rglob("*")), default=past)
            if past < newest < time.time() - 600:
                for path in workspace.rglob("*"):
                    os.utime(path, (past, past))


def size(folder: Path) -> int:
    """Returns the bytes of all files below a folder, some of which may vanish meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def say(what: str, **facts: Any) -> None:
    """Prints a line of progress."""
    print(json.dumps({"at": f"{datetime.now(UTC):%H:%M:%S}", "what": what, **facts}), flush=True)


def run(soak: Soak, minutes: float) -> None:
    """Delivers drops and restarts the stack for so many minutes."""
    soak.script("start.sh")
    started = time.monotonic() - soak.minutes * 60
    restarts = {"stop": minutes / 6, "kill": minutes / 3}
    while soak.minutes < minutes:
        next_drop = time.monotonic() + EVERY_SECONDS
        soak.drop()
        if soak.minutes < minutes / 2 and soak.drops[-1][0] == "delta":
            soak.kill_task()
        for name, at in restarts.items():
            if soak.minutes < at or name in soak.restarts:
                continue
            soak.restarts.append(name)
            say("restart", how=name)
            time.sleep(5)  # until the run of the drop has started
            soak.kill() if name == "kill" else soak.script("stop.sh")
            soak.drop()  # arrives while the stack is down
            soak.script("start.sh")
        soak.age_workspaces()
        soak.sample(soak.minutes)
        time.sleep(max(0.0, next_drop - time.monotonic()))
        soak.minutes = (time.monotonic() - started) / 60
        soak.keep()


def outcomes(soak: Soak) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Returns, by source, the states of the runs that took it and its statuses in the ledger."""
    runs: dict[str, list[str]] = defaultdict(list)
    for row in soak.query(
        "airflow",
        "airflow",
        # The task extract records which drop it took; a run may also hear of others.
        """
        select xcom.value #>> '{}' as source, run.state
        from xcom
        join dag_run as run on run.id = xcom.dag_run_id
        where xcom.task_id = 'extract' and xcom.key = 'source'
        """,
    ):
        runs[row["source"]].append(row["state"])
    ledger: dict[str, list[str]] = defaultdict(list)
    for row in soak.query(
        "features_reader",
        "experiment_features",
        "select source, status from features.pipeline_runs",
    ):
        ledger[row["source"]].append(row["status"])
    return runs, ledger


def find_faults(soak: Soak) -> list[str]:
    """Returns a line for each drop whose outcome is wrong."""
    runs, ledger = outcomes(soak)
    faults = []
    for kind, folder in soak.drops:
        state, statuses = ENDS[kind]
        seen = (runs[folder], ledger[folder])
        if seen != ([state], statuses):
            faults.append(f"{folder} ({kind}): runs and ledger say {seen}")
    return faults


def find_differences(soak: Soak) -> Iterator[str]:
    """Yields a line for each load after which features were not those of the rows in force."""
    found: dict[str, dict[str, Features]] = defaultdict(dict)
    for row in soak.query("features_reader", "experiment_features", FEATURES):
        source, user, *features = row.values()
        found[source][str(user)] = tuple(features)
    for folder, expected in count_features(soak.drops):
        wrong = [user for user in expected if expected[user] != found[folder].get(user)]
        if wrong or len(expected) != len(found[folder]):
            yield f"{folder}: the features of {len(wrong)} users are wrong, such as {wrong[:3]}"
    say("features", loads=len(found))


def count_features(drops: list[tuple[str, str]]) -> Iterator[tuple[str, dict[str, Features]]]:
    """Yields each drop that loads, with the features of each user after it."""
    names: dict[str, str] = {}
    experiments: dict[str, tuple[str, set[int]]] = {}
    for kind, folder in drops:
        if kind not in ("new", "delta"):
            continue
        if kind == "new":
            names, experiments = {}, {}
        names |= {row["user_id"]: row["name"] for row in read(folder, "users")}
        for row in read(folder, "user_experiments"):
            used = {int(item) for item in row["experiment_compound_ids"].split(";")}
            experiments[row["experiment_id"]] = (row["user_id"], used)
        for row in read(folder, "deleted_user_experiments"):
            experiments.pop(row["experiment_id"], None)
        totals = Counter(user for user, _ in experiments.values())
        uses: dict[str, Counter[int]] = {user: Counter() for user in names}
        for user, used in experiments.values():
            uses[user].update(used)
        yield (
            folder,
            {user: (name, totals[user], most_common(uses[user])) for user, name in names.items()},
        )


def most_common(uses: Counter[int]) -> int | None:
    """The compound in most experiments; of those that tie, the one with the lowest id."""
    return min(uses, key=lambda compound: (-uses[compound], compound), default=None)


def read(folder: str, table: str) -> list[dict[str, str]]:
    """The rows of a table in a drop."""
    path = Path(folder) / f"{table}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def wait_for_the_rest(soak: Soak) -> None:
    """Waits a while for the runs of the last drops to end."""
    deadline = time.monotonic() + LAST_WAIT_SECONDS
    while time.monotonic() < deadline:
        runs, _ = outcomes(soak)
        states = [runs[folder] for _, folder in soak.drops]
        if all(state and set(state) <= {"success", "failed"} for state in states):
            return
        time.sleep(2)
    say("still waiting", seconds=LAST_WAIT_SECONDS)


def find_growth(samples: list[dict[str, Any]]) -> Iterator[str]:
    """Yields a line for whatever grew too much in the second half, after all restarts."""
    half = samples[len(samples) // 2 :]
    third = max(1, len(half) // 3)
    for component in sorted(half[-1]["memory"]):
        seen = [sample["memory"].get(component, 0) for sample in half]
        before, after = median(seen[:third]), median(seen[-third:])
        say("memory", component=component, before=before, after=after, peak=max(seen))
        if after > before * MOST_GROWTH and after - before > LEAST_BYTES:
            yield f"memory of {component} grew from {before:.0f} to {after:.0f} bytes"
    first, middle, last = samples[0], half[0], half[-1]
    for name in ("logs", "workspaces"):
        early = (middle[name] - first[name]) / max(1, middle["drops"] - first["drops"])
        late = (last[name] - middle[name]) / max(1, last["drops"] - middle["drops"])
        say("disk", what_grew=name, a_drop_first=round(early), a_drop_second=round(late))
        if late > max(early, 0) * 1.25 + 100_000:
            yield f"{name} grew by {late:.0f} bytes per drop, up from {early:.0f}"


def soak_stack(folder: Path, port: int, minutes: float, seed: str) -> tuple[int, list[str]]:
    """Soaks a stack in a folder; returns how many drops went right, and a line for each fault."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user when root starts it
    soak = Soak(folder.resolve(), port, seed)
    soak.go_on(minutes)
    try:
        run(soak, minutes)
        wait_for_the_rest(soak)
        wrong = find_faults(soak)
        others = [*find_differences(soak), *find_growth(soak.samples)]
        deltas = sum(kind == "delta" for kind, _ in soak.drops[: len(soak.drops) // 2])
        if soak.kills < deltas / 2:
            others.append(f"only {soak.kills} tasks were killed")
    finally:
        soak.script("stop.sh")
    kinds = {kind: sum(k == kind for k, _ in soak.drops) for kind in ENDS}
    faults = [*wrong, *others]
    say("result", minutes=minutes, drops=len(soak.drops), kinds=kinds, faults=faults)
    return len(soak.drops) - len(wrong), faults
