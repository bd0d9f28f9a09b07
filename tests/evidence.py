"""What a failing test of a running stack leaves behind: a folder, named in its message."""

import json
import re
import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

import pytest

FAILURES = Path(__file__).parents[1] / ".local" / "failures"

RUNS = "select * from features.pipeline_runs order by started_at"
TASKS = """
select run_id, task_id, try_number, state, hostname, start_date, end_date, last_heartbeat_at
from task_instance order by start_date
"""


class Witness(Protocol):
    """A stack, or a page in a browser."""

    def evidence(self) -> dict[str, Callable[[Path], object]]:
        """Returns, by the names of files and folders, what writes them."""


WITNESSES: list[Witness] = []
"""All that run in this process."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Collects the evidence of a failure; if a stack does not start, once for all of its tests."""
    error = call.excinfo and call.excinfo.value
    fails = error and not isinstance(error, pytest.skip.Exception | KeyboardInterrupt)
    of_stack = WITNESSES and "stack" in getattr(item, "fixturenames", ())
    if fails and of_stack and not hasattr(error, "__notes__"):
        error.add_note(f"Logs, runs and tasks: {collect(item)}")
    return (yield)


def collect(item: pytest.Item) -> Path:
    """Writes all evidence to a folder with the test's name, and returns the folder."""
    name = f"{item.path.parent.name}.{item.path.stem}.{item.name}"
    folder = FAILURES / re.sub(r"[^\w.-]+", "_", name)
    shutil.rmtree(folder, ignore_errors=True)
    for number, witness in enumerate(WITNESSES, start=1):
        place = folder / f"{number}_{type(witness).__name__}"
        place.mkdir(parents=True)
        for file, write in witness.evidence().items():
            try:
                write(place / file)
            except Exception as error:  # noqa: BLE001 - whatever is broken, the rest is collected
                (place / f"{file}.error").write_text(repr(error))
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes each row as a line of JSON."""
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
