"""Faults that a user would notice, each planted in a copy of the tree: its test must catch it.

They are listed in planted_faults.toml; `scripts/search.sh faults` plants them.
"""

import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parents[1]

_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".local", "__pycache__", ".*_cache")

# Imported once, and not for every fault; nothing of the project, as the copy's code is to run.
_processes = get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "pytest",
        "hypothesis",
        "duckdb",
        "narwhals",
        "pandas",
        "pyarrow.parquet",
        "psycopg",
        "fastapi",
    ]
)


@dataclass(frozen=True)
class Fault:
    """A change of some lines, and the test that fails with it."""

    what: str
    """What goes wrong for the user."""
    file: str
    old: str
    """Occurs once in the file."""
    new: str
    caught_by: str
    """The id of a test, as pytest takes it."""


def read_faults() -> list[Fault]:
    """The faults, in the order of the list."""
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return [Fault(**fault) for fault in listed["fault"]]


def plant_each(faults: list[Fault], folder: Path) -> list[str]:
    """Plants faults one after the other: which are caught? The folder gets what the others say.

    Raises:
        RuntimeError: a test fails without any fault.
    """
    outcomes = []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        tree = shutil.copytree(ROOT, Path(name) / "tree", ignore=_LEFT_OUT)
        (tree / ".venv").symlink_to(ROOT / ".venv")
        output = folder / "without_a_fault.txt"
        if faults and _run_tests(tree, output, *{fault.caught_by for fault in faults}):
            raise RuntimeError(f"a test fails without any fault: see {output}")
        for fault in faults:
            path, output = tree / fault.file, folder / f"fault_{len(outcomes)}.txt"
            path.write_text(path.read_text("utf-8").replace(fault.old, fault.new), "utf-8")
            is_caught = _run_tests(tree, output, fault.caught_by) == 1  # others: it was not run
            shutil.copyfile(ROOT / fault.file, path)
            outcome = f"caught by {fault.caught_by}" if is_caught else "MISSED"
            print(f"{outcome}: {fault.what}", flush=True)
            outcomes.append("caught" if is_caught else "missed")
            if is_caught:
                output.unlink()
    return outcomes


def _run_tests(tree: Path, output: Path, *tests: str) -> int | None:
    """Runs tests of a copy of the tree, and returns pytest's exit status."""
    process = _processes.Process(target=_pytest, args=(tree, output, tests))
    process.start()
    process.join()
    return process.exitcode


def _pytest(tree: Path, output: Path, tests: tuple[str, ...]) -> None:
    import pytest

    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(tree)
    os.environ["TMPDIR"] = tempfile.tempdir = str(tree.parent)
    os.environ.pop("PYTHONPATH", None)
    sys.path[:] = [p for p in sys.path if not Path(p).is_relative_to(ROOT) or ".venv" in p]
    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests]))
