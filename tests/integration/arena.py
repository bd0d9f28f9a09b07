"""Drops that are loaded in turns into a database, by processes that are killed meanwhile."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from drops import COLUMNS
from experiment_features.command_line import main
from experiment_features.drop.local_path import LocalPath
from experiment_features.errors import ConfigurationError, DatabaseRefused, DatabaseUnavailable
from experiment_features.load.database import connect
from experiment_features.load.part_store import find_database_id, remove_old_parts
from experiment_features.store.parts import PartStore
from integration.running import compute_drop, make_pipeline, new_run_id, run_stages
from integration.servers import Database, Server

if TYPE_CHECKING:
    from experiment_features.pipeline import Pipeline
    from experiment_features.run import Result

FAULTS = ("process_killed", "session_terminated", "server_crashed", "run_killed")
"""The first three strike while the load is connected, the last at any time of a run: while it
reads, computes or connects, or once it is done."""

# These processes have everything imported and run no threads. Their environment is that of the test
# which was the first to start one, so each gets its own: start_process.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "experiment_features.command_line",
        "experiment_features.engines.pandas_engine",
        "pandas",
        "integration.running",
    ]
)


def start_process(function: Callable[..., Any], *args: Any) -> BaseProcess:
    """Starts a process with the environment of this test."""
    arguments = (dict(os.environ), function, *args)
    process = PROCESSES.Process(target=_call, args=arguments, daemon=True)
    process.start()
    return process


def _call(environment: Mapping[str, str], function: Callable[..., Any], *args: Any) -> Any:
    os.environ.update(environment)
    return function(*args)


STATE = """
select
    (select string_agg(drop, '') from (
        select distinct left(user_name, 1) as drop from features.user_features order by 1
    ) as names) as user_drops,
    (select count(*) from features.user_features) as users,
    (select sum(total_experiments) from features.user_features) as experiments,
    (select sum(hashtext(user_features::text || user_id)) from (
        select user_id, user_name, total_experiments, average_experiment_run_time,
            most_common_compound_ids
        from features.user_features
    ) as user_features) as hash,
    (select string_agg(compound_name, ',' order by compound_id)
        from features.compound_features) as compounds,
    (select right(source, 1) from features.pipeline_runs
        where status = 'loaded' order by finished_at desc limit 1) as source
"""
"""Everything that must be consistent, in one statement."""


def write_drop(folder: Path, name: str, number: int) -> Path:
    """Writes drop `A` or `B`: half of the users and all compounds differ; some users are in one."""
    source = folder / name
    source.mkdir()
    # Users that are the same in both drops have names starting with U.
    first = 1 if name == "A" else 1 + number // 20
    users = range(first, first + number)
    rows = {
        "users": [f"{i},{name if i % 2 else 'U'}{i},u@example.org,2024-01-01" for i in users],
        "compounds": [f"{i},{name}{i},C" for i in range(1, 21)],
        "user_experiments": [
            f"{2 * i + j},{i},{i % 10 + 1};{i % 7 + 11},{i % 100 + (name == 'B') * (i % 2)}.5"
            for i in users
            for j in range(2)
        ],
    }
    for table, lines in rows.items():
        header = ",".join(COLUMNS[table])
        (source / f"{table}.csv").write_text("\n".join([header, *lines, ""]))
    return source


class Arena:
    """A database, two drops, and the state of the database after loading each."""

    def __init__(self, database: Database, folder: Path, users: int) -> None:
        """Loads A, then B, each of so many users."""
        self.database = database
        self.folder = folder
        self.users = users
        self.sources = {name: write_drop(folder, name, users) for name in "AB"}
        self.prepared: dict[str, Pipeline] = {}
        self.states: dict[str, dict[str, Any]] = {}
        for name, source in self.sources.items():
            pipeline = make_pipeline(database, folder / "workspaces")
            self.prepared[name] = compute_drop(pipeline, source)
            started = time.monotonic()
            self.load(name)
            self.load_seconds = time.monotonic() - started
            self.states[name] = self.state()
        assert self.states["A"] != self.states["B"]

    def load(self, name: str) -> "Result":
        """Loads a drop in this process, as a new run."""
        pipeline = self.prepared[name]
        return replace(pipeline, run=replace(pipeline.run, run_id=new_run_id())).load()

    def state(self) -> dict[str, Any]:
        """Returns the state of the database."""
        return self.database.query(STATE)[0]

    def held(self) -> str:
        """Asserts that the database holds exactly one of the drops; returns its name."""
        state = self.state()
        assert state in self.states.values(), f"{state} is neither of {self.states}"
        return next(name for name, known in self.states.items() if known == state)

    def other(self) -> str:
        """Returns the name of the drop that the database does not hold."""
        return "A" if self.held() == "B" else "B"

    def forget_history(self) -> None:
        """Removes all closed periods."""
        self.database.query("truncate features.user_features_past")

    def assert_history_fits(self, *, changed: bool) -> None:
        """Asserts that one load, or none, has closed periods since forget_history."""
        past = self.database.query(
            "select count(*) as rows, count(distinct valid_to) as moments, "
            "count(*) filter (where valid_to <> updated_at) as gaps "
            "from features.user_features_past left join features.user_features using (user_id)"
        )[0]
        assert (past["moments"], past["gaps"]) == (int(changed), 0)
        assert (past["rows"] > self.users // 2) == changed

    def start_load(self, name: str) -> BaseProcess:
        """Starts the command line in a separate process."""
        command = ["run", str(self.sources[name]), "--database-url", self.database.url()]
        return start_process(main, command)

    def await_load(self, process: BaseProcess) -> int:
        """Waits for the load to begin; returns the PID of its server process."""
        query = (
            "select pid from pg_stat_activity "
            "where application_name like 'experiment_features cli!_!_%' escape '!'"
        )
        deadline = time.monotonic() + 60
        with self.database.connect(autocommit=True) as connection:
            while True:
                found = connection.execute(query).fetchone()
                if found:
                    return int(found[0])
                assert process.is_alive(), "the load ended before it was seen"
                assert time.monotonic() < deadline, "no load began within 60 s"

    def await_end_of_loads(self) -> None:
        """Waits until no load is left on the server, which may take a while to notice a kill."""
        deadline = time.monotonic() + 60
        while self.database.value(
            "select count(*) from pg_stat_activity where datname = current_database() "
            "and application_name like 'experiment_features%'"
        ):
            assert time.monotonic() < deadline, "the server still runs a killed load after 60 s"
            time.sleep(0.01)


@contextmanager
def open_arena(folder: Path, users: int) -> Iterator[Arena]:
    """An arena on a separate server, which the tests crash."""
    server = Server("18")
    try:
        with server.database("arena") as database:
            yield Arena(database, folder, users)
    finally:
        server.close()


def cut_short(arena: Arena, fault: str, rng: Random) -> str:
    """Cuts a load short at a random moment; returns whether that was ``before`` or ``after`` commit.

    Asserts that the database then holds exactly one drop, and that the next load succeeds.
    """
    before, target = arena.held(), arena.other()
    arena.forget_history()
    process = arena.start_load(target)
    if fault == "run_killed":
        time.sleep(rng.uniform(0, 1 + arena.load_seconds))
        process.kill()
    else:
        pid = arena.await_load(process)
        time.sleep(rng.uniform(0, 1.1 * arena.load_seconds))
        break_load(fault, arena, process, pid)
    process.join(60)
    arena.await_end_of_loads()
    held = arena.held()
    arena.assert_history_fits(changed=held != before)
    result = arena.load(target)
    assert (result.status, arena.held()) == ("loaded", target)
    return "before" if held == before else "after"


def break_load(fault: str, arena: Arena, process: BaseProcess, pid: int) -> None:
    """Kills the process, ends its session or crashes the server."""
    if fault == "process_killed":
        process.kill()
    elif fault == "session_terminated":
        arena.database.query("select pg_terminate_backend(%s)", pid)
    else:
        arena.database.server.stop("immediate")
        arena.database.server.start()


def load_and_remove(url: str, store: str, folder: str, sources: list[str]) -> None:
    """In a process of its own: loads drops in turns, and removes all that it may; until killed."""
    database_url, parts = url, Path(store)
    for number in range(1_000):
        source = Path(sources[number % len(sources)])
        pipeline = replace(
            make_pipeline(None, Path(folder), store=parts, max_removed_percent=100),
            connect=lambda: connect(database_url),
        )
        with suppress(ConfigurationError, DatabaseRefused, DatabaseUnavailable):
            run_stages(pipeline, partial(pipeline.extract, LocalPath(source)))
        with connect(database_url) as connection:
            store_parts = PartStore(parts, find_database_id(connection), Path(folder) / "cache")
            remove_old_parts(connection, store_parts, 0, is_young_kept=False)
