"""Compares the load stage with a bare COPY of the same rows into an empty table like it."""

import time
from functools import partial
from hashlib import file_digest
from pathlib import Path

from benchmarks.measure import Facts, in_rounds, run_program
from benchmarks.postgres import Server
from benchmarks.runs import make_drop, run_pipeline

EXPERIMENTS_PER_USER = 4
"""Few, because the load does not depend on them; enough for nearly all users to have some."""


def measure_load(server: Server, folder: Path, users: int, rounds: int) -> list[Facts]:
    """Measures loads of new, unchanged, changed and renamed users, and of a drop that is known.

    Users have changed twice by then, as the history makes a load slower than the first one is.
    """
    first, second, renamed = (
        make_drop(folder, users * EXPERIMENTS_PER_USER, users, *of_users)
        for of_users in (["User"], ["User", "reversed"], ["Person"])
    )
    rows = []
    for number in range(1, rounds + 1):
        # Every round needs a new database, or the users would not be new.
        with server.database() as name:
            run = partial(run_pipeline, server.url(name, "features_writer"))
            sides = {
                "new": partial(run, first, folder),
                "identical": partial(run, first, folder, "--force"),
                "changed once": partial(run, second, folder),
                "bare COPY": partial(_copy, server, name, folder),
                "changed": partial(run, first, folder),
                "renamed": partial(run, renamed, folder),
                "unchanged": partial(run, renamed, folder),
                "hashing": partial(_hash, renamed),
            }
            rows += in_rounds(1, sides, {"users": users})
            for row in rows[-len(sides) :]:
                row["round"] = number
    return rows


def _copy(server: Server, database: str, folder: Path) -> Facts:
    """Copies the features to a file, and measures the COPY from there into an empty table."""
    file = folder / "user_features.copy"
    psql: list[str | Path] = [
        server.psql(),
        "--no-psqlrc",
        "--quiet",
        "--dbname",
        server.url(database),
        "--command",
    ]
    run_program([*psql, f"\\copy features.user_features to {file}"], folder)
    table = "create table bare (like features.user_features including all)"
    run_program([*psql, table], folder)
    measured = run_program([*psql, f"\\copy bare from {file}"], folder)
    run_program([*psql, "drop table bare"], folder)
    file.unlink()
    return {"seconds": round(measured.seconds, 3)}


def _hash(drop: Path) -> Facts:
    started = time.perf_counter()
    for path in drop.iterdir():
        with path.open("rb") as file:
            file_digest(file, "sha256")
    return {"seconds": round(time.perf_counter() - started, 3)}
