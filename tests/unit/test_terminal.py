"""What the command line prints is what it was given: nothing is interpreted, nothing is cut."""

import inspect
import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest

from experiment_features import terminal
from experiment_features.check import Report
from experiment_features.errors import DropRejected
from experiment_features.load.differences import Difference
from experiment_features.load.loads import Load
from experiment_features.load.merge import Changes
from experiment_features.load.plan import FeatureChange, Plan
from experiment_features.report.trace import Trace, TracedRow
from experiment_features.reproduction import Reproduction, Verification
from experiment_features.rules.issues import RuleQuality, TableQuality
from experiment_features.run import Result
from experiment_features.state import State

HOSTILE = ":x: [red]a[/red] \\[b] {x} %s \x1b[1m \\"
SHOWN = HOSTILE.replace("\x1b", "\\x1b")
MANY = 10**15
"""A count that takes much space."""

LOAD = Load(**dict.fromkeys((field.name for field in fields(Load)), HOSTILE)
            | {"finished_at": datetime(2024, 1, 1, tzinfo=UTC)})  # fmt: skip

LAYER: Any = {
    "run_id": HOSTILE,
    "source": HOSTILE,
    "parts": [{"table": "user_experiments", "name": HOSTILE, "rows": MANY}],
}


class Quality(Report):
    """What was found in a drop."""

    notices = (HOSTILE,)

    def summary(self) -> tuple[list[TableQuality], list[RuleQuality]]:
        """A table and a rule."""
        rule = RuleQuality("error", "users", "name_missing", "name is missing", 2, [HOSTILE])
        return [TableQuality("users", (HOSTILE, HOSTILE), MANY, 1)], [rule]


def show_progress() -> None:
    """Shows how many rows of a file were read."""
    with terminal.shown_progress() as (_, show_rows):
        show_rows(HOSTILE, 5)


def log() -> None:
    """Logs a line."""
    terminal.log_handler().emit(logging.LogRecord("x", 20, "x", 1, SHOWN, None, None))


PRINTED: dict[str, tuple[int, Callable[[], Any]]] = {
    "complain": (1, lambda: terminal.complain("refused", HOSTILE)),
    "log_handler": (1, log),
    "shown_progress": (1, show_progress),
    "print_result": (
        3,
        lambda: terminal.print_result(
            Result(HOSTILE, "loaded", source=HOSTILE, users=MANY, notices=[HOSTILE])
        ),
    ),
    "print_plan": (
        2,
        lambda: terminal.print_plan(
            Plan(
                {"compound_features": Changes(MANY, MANY, MANY, MANY)},
                [
                    FeatureChange(2**63 - 1, "most_common_compound_name", HOSTILE, HOSTILE),
                    FeatureChange(2**63 - 2, "average_experiment_run_time", 1e10 / 3, 2e10 / 3),
                ],
                None,
            )
        ),
    ),
    "print_quality": (
        5,
        lambda: terminal.print_quality(Quality(None, None, DropRejected(HOSTILE))),
    ),
    "print_trace": (
        7,
        lambda: terminal.print_trace(
            Trace(
                7,
                LOAD,
                {"user_name": HOSTILE, "total_experiments": 1},
                [TracedRow(HOSTILE, MANY, HOSTILE, HOSTILE, HOSTILE, [])],
                found=1,
                total=1,
                counted=1,
            )
        ),
    ),
    "print_reproduction": (
        4,
        lambda: terminal.print_reproduction(
            Reproduction(
                LOAD,
                "duckdb",
                HOSTILE,
                "0",
                [HOSTILE],
                [Difference("user_features", 7, {"user_name": HOSTILE}, None)],
            )
        ),
    ),
    "print_verification": (
        3,
        lambda: terminal.print_verification(
            Verification(
                LOAD,
                "duckdb",
                [HOSTILE],
                [Difference("data_issues", HOSTILE, None, {"rule": "name_missing"})],
            )
        ),
    ),
    "print_files": (1, lambda: terminal.print_files([("users", HOSTILE, MANY)])),
    "print_state": (
        9,
        lambda: terminal.print_state(
            State(
                HOSTILE,
                HOSTILE,
                "2024-01-01",
                [LAYER, LAYER],
                HOSTILE,
                1,
                MANY,
                MANY,
                MANY,
            )
        ),
    ),
}
"""By function, how often it prints HOSTILE, and the call."""


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Returns what a function prints on a terminal with that many columns."""

    def run(name: str, columns: int) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(terminal, "_console", terminal._Console(stderr=True))
        PRINTED[name][1]()
        return "".join(capsys.readouterr())

    return run


def test_no_function_is_forgotten() -> None:
    """Of those that print."""
    functions = inspect.getmembers(terminal, inspect.isfunction)
    own = {name for name, found in functions if found.__module__ == terminal.__name__}
    assert {name for name in own if not name.startswith("_")} == set(PRINTED)


@pytest.mark.parametrize("name", PRINTED)
def test_text_is_printed_as_it_is(name: str, printed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brackets, emoji codes and backslashes mean nothing in it; control characters are escaped."""
    if name == "shown_progress":
        monkeypatch.setenv("FORCE_COLOR", "1")  # it is shown on a terminal only
    found = printed(name, 1000).replace(json.dumps(HOSTILE), SHOWN)
    assert found.count(SHOWN) == PRINTED[name][0], found
    assert HOSTILE not in found


@pytest.mark.parametrize("name", [name for name in PRINTED if name.startswith("print_")])
def test_nothing_is_cut_on_a_narrow_terminal(name: str, printed: Any) -> None:
    """What does not fit goes on in the next line, whatever the table."""
    wide, narrow = (printed(name, columns).replace("─", "") for columns in (1000, 50))
    assert Counter("".join(narrow.split())) == Counter("".join(wide.split()))
