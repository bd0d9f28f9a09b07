"""Loads that are killed, cut off or run concurrently always leave a consistent state."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from random import Random
from statistics import median

import pytest
from psycopg.rows import dict_row

from cases import cases, left_to_ci
from integration.arena import PROCESSES, STATE, Arena, cut_short, open_arena
from integration.running import load_workspace, store_folder

LOADS = 20


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """An arena for all of these tests."""
    with open_arena(tmp_path_factory.mktemp("arena"), users=2_000) as arena:
        yield arena


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("fault", "times"),
    [
        ("process_killed", cases(8)),
        ("run_killed", 2),
        *left_to_ci(("session_terminated", 1), ("server_crashed", 1)),
    ],
)
def test_a_load_that_is_cut_short_has_not_happened(
    fault: str, times: int, arena: Arena, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a load was cut short, the database holds exactly one drop; the next load succeeds."""
    rng = Random(fault)  # noqa: S311
    found = Counter(cut_short(arena, fault, rng) for _ in range(times))
    with capsys.disabled():
        print(f"\n{fault}: {times} times, {arena.users:,} users; found the state {dict(found)}")


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_many_loads_at_once_and_their_readers(
    arena: Arena, capsys: pytest.CaptureFixture[str]
) -> None:
    """During many loads at once, readers never wait and see only consistent states."""
    folders = []
    for number in range(LOADS):
        workspace = arena.prepared["AB"[number % 2]].workspace.folder
        folders.append(shutil.copytree(workspace, arena.folder / f"copy_{number}"))
    ends = time.monotonic() + 0.5
    quiet = read_states(arena, lambda: time.monotonic() > ends)
    with ProcessPoolExecutor(LOADS, PROCESSES) as pool:
        url = arena.database.url()
        loads = [pool.submit(load_workspace, url, folder, store_folder()) for folder in folders]
        busy = read_states(arena, lambda: all(load.done() for load in loads))
        assert [load.result() for load in loads] == ["loaded"] * LOADS
    arena.held()
    with capsys.disabled():
        print(
            f"\n{LOADS} loads of {arena.users:,} users at once: slowest of {len(busy)} SELECTs "
            f"{1000 * max(busy):.0f} ms, without loads {1000 * max(quiet):.0f} ms of {len(quiet)} "
            f"(medians {1000 * median(busy):.0f} and {1000 * median(quiet):.0f} ms)"
        )
    assert max(busy) < 5, "a reader had to wait"


def read_states(arena: Arena, is_over: Callable[[], bool]) -> list[float]:
    """Reads until it is over, asserting consistency; returns the seconds of each SELECT."""
    seconds = []
    with arena.database.connect("analyst", autocommit=True, row_factory=dict_row) as connection:
        connection.execute("set lock_timeout = '100ms'")
        while not is_over():
            started = time.monotonic()
            state = connection.execute(STATE).fetchone()
            seconds.append(time.monotonic() - started)
            assert state in arena.states.values()
    return seconds
