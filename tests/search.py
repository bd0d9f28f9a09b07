"""Long searches for what the tests may miss: see scripts/search.sh.

A search checks its cases batch by batch. What is drawn for a batch depends on the seed and the
batch's number alone, and the outcomes of finished batches are kept in ``finished.json``: so a
search that is started again with its seed goes on behind the last batch that it finished.
"""

import argparse
import json
import logging
import os
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

# Each search imports what it needs: each process of the search for kills imports this module.


@dataclass(frozen=True)
class Search:
    """What is searched through, and how."""

    noun: str
    count: int
    batch: int
    outcomes: tuple[str, ...]
    """What may become of a case; the last one is a fault."""
    check: Callable[[str, int, Path], list[str]]
    """Checks so many cases drawn from a seed; the folder gets what explains a fault."""


def check_drops(seed: str, count: int, folder: Path) -> list[str]:
    """Compares random drops with the oracle."""
    import drops
    import stages

    return _compare(drops.drops(refused=True), stages.check_drop, seed, count, folder)


def check_deltas(seed: str, count: int, folder: Path) -> list[str]:
    """Compares random sequences of snapshots and deltas with the oracle, on an engine each."""
    from hypothesis import strategies as st

    from delta_drops import sequences
    from delta_stages import check_sequence
    from stages import ENGINES

    cases = st.tuples(sequences(refused=True), st.sampled_from(ENGINES))
    return _compare(
        cases, lambda case, place: check_sequence(case[0], place, case[1]), seed, count, folder
    )


def check_sail(seed: str, count: int, folder: Path) -> list[str]:
    """Compares random drops, and sequences of snapshots and deltas, with the oracle, on Sail."""
    from hypothesis import strategies as st

    import drops
    from delta_drops import sequences
    from delta_stages import check_sequence
    from stages import check_computed

    def check(case: Any, place: Path) -> None:
        if isinstance(case, drops.Drop):
            check_computed(case, place, "spark")
        else:
            check_sequence(case, place, "spark")

    cases = st.one_of(drops.drops(refused=True), sequences(refused=True))
    return _compare(cases, check, seed, count, folder)


def check_histories(seed: str, count: int, folder: Path) -> list[str]:
    """Compares random histories of a database with the oracle."""
    from itertools import count as numbers

    from integration.histories import follow_history, histories
    from integration.servers import Server

    server, number = Server("18"), numbers(1)

    def check(history: Any, place: Path) -> None:
        with _store_in(place), server.database(f"history_{next(number)}") as database:
            follow_history(history, database, place)

    try:
        return _compare(histories(), check, seed, count, folder)
    finally:
        server.close()


def _store_in(folder: Path) -> Any:
    """Within it, parts are stored in the folder."""
    return patch.dict(os.environ, EXPERIMENT_FEATURES_STORE=str(folder / "store"))


def _compare(
    cases: Any, check_case: Callable[[Any, Path], None], seed: str, count: int, folder: Path
) -> list[str]:
    """Checks cases of a Hypothesis strategy; keeps those that differ, and all that is made of them."""
    import hypothesis
    import pytest

    outcomes: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,  # would bring cases of other searches
        derandomize=False,  # a CI server's default, which forgets the seed
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=cases)
    def check(case: Any) -> None:
        with TemporaryDirectory() as name:
            try:
                check_case(case, Path(name))
            except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it is, it differs
                kept = shutil.copytree(name, folder / f"drop_{len(outcomes)}")
                (kept / "error.txt").write_text(traceback.format_exc())
                outcomes.append("differ")
            else:
                outcomes.append("equal")

    check()
    return outcomes


def check_kills(seed: str, count: int, folder: Path) -> list[str]:
    """Cuts loads short at random moments; after a fault, goes on with another server."""
    from integration.arena import FAULTS, cut_short, open_arena

    rng = Random(seed)  # noqa: S311
    outcomes: list[str] = []
    while len(outcomes) < count:
        with (
            TemporaryDirectory() as name,
            _store_in(Path(name)),
            open_arena(Path(name), users=10_000) as arena,
        ):
            try:
                while len(outcomes) < count:
                    (fault,) = rng.choices(FAULTS, weights=(5, 1, 1, 1))
                    outcomes.append(f"{cut_short(arena, fault, rng)} its commit")
            except Exception:  # noqa: BLE001 - a load that fails afterwards is a fault, too
                folder.mkdir(parents=True, exist_ok=True)
                error = f"{fault}\n{traceback.format_exc()}"
                (folder / f"kill_{len(outcomes)}.txt").write_text(error)
                outcomes.append("inconsistent")
    return outcomes


def check_soak(seed: str, count: int, folder: Path) -> list[str]:
    """Lets a local stack run for so many minutes, and judges each drop that it was given."""
    from benchmarks.soak import soak_stack

    from receivers import free_port

    right, faults = soak_stack(folder, free_port(), count, seed)
    return ["drops as expected"] * right + ["faults"] * len(faults)


def check_faults(seed: str, count: int, folder: Path) -> list[str]:
    """Plants so many faults of the list, from the batch's number on: nothing of them is random."""
    from planted_faults import plant_each, read_faults

    first = int(seed.rpartition("/")[2])
    return plant_each(read_faults()[first : first + count], folder)


SEARCHES = {
    "drops": Search("random drops", 5_000, 50, ("equal", "differ"), check_drops),
    "deltas": Search("random sequences", 3_000, 50, ("equal", "differ"), check_deltas),
    "sail": Search("drops or sequences on Sail", 1_000, 50, ("equal", "differ"), check_sail),
    "histories": Search("random histories", 500, 20, ("equal", "differ"), check_histories),
    "kills": Search(
        "kills", 1_000, 20, ("before its commit", "after its commit", "inconsistent"), check_kills
    ),
    "soak": Search("minutes of soak", 60, 10_000, ("drops as expected", "faults"), check_soak),
    "faults": Search("planted faults", 147, 10, ("caught", "missed"), check_faults),
}


def run(search: Search, seed: int, count: int, folder: Path) -> tuple[Counter[str], float]:
    """Checks the batches that are not finished; returns the outcomes of all, and the seconds."""
    state = folder / "finished.json"
    finished = json.loads(state.read_text()) if state.exists() else {}
    for number in range(0, count, search.batch):
        wanted = min(search.batch, count - number)
        if finished.get(str(number), {}).get("count", 0) < wanted:
            started = time.monotonic()
            outcomes = search.check(f"{seed}/{number}", wanted, folder / str(number))
            finished[str(number)] = {
                "count": wanted,
                "outcomes": Counter(outcomes),
                "seconds": round(time.monotonic() - started, 1),
            }
            draft = state.with_suffix(".draft")
            folder.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(finished))
            draft.replace(state)
        print(f"{number + wanted:,} of {count:,} {search.noun}", flush=True)
    batches = finished.values()
    total = sum((Counter(batch["outcomes"]) for batch in batches), Counter[str]())
    return total, sum(batch["seconds"] for batch in batches)


def main(arguments: list[str] | None = None) -> int:
    """Runs the search that the command line names, and prints its figures."""
    parser = argparse.ArgumentParser(prog="scripts/search.sh")
    parser.add_argument("what", choices=SEARCHES)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 10**6)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    search, seed = SEARCHES[options.what], options.seed
    count = search.count if options.count is None else options.count
    folder = options.folder / f"{options.what}-{seed}"
    print(f"{count:,} {search.noun}; to resume if stopped: --seed {seed}", flush=True)
    total, seconds = run(search, seed, count, folder)
    figures = ", ".join(f"{total[outcome]:,} {outcome}" for outcome in search.outcomes)
    if total[search.outcomes[-1]]:
        print(f"Details of the faults are in {folder}")
    print(f"{count:,} {search.noun}, seed {seed}: {figures}; {seconds:,.0f} s")
    return 1 if total[search.outcomes[-1]] else 0


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # such as that a drop has extra columns
    raise SystemExit(main())
