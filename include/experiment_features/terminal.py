"""The command line's output: progress, errors, results and the quality of a drop."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeAlias

from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from experiment_features.check import Report
from experiment_features.load.differences import Difference
from experiment_features.load.plan import FeatureChange, Plan
from experiment_features.report.trace import Trace, TracedRow
from experiment_features.reproduction import Reproduction, Verification
from experiment_features.run import Result
from experiment_features.state import State
from experiment_features.visible_text import escape

_Part: TypeAlias = str | tuple[str, str]
"""Of a line: text, or text and its style."""


class _Console(Console):
    """Prints text as it is: markup and emoji codes in it mean nothing."""

    def __init__(self, *, stderr: bool = False, highlight: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=highlight, markup=False, emoji=False)

    def say(self, *parts: _Part) -> None:
        """Prints a line, which the terminal wraps, with control characters escaped."""
        pairs = ((part, "") if isinstance(part, str) else part for part in parts)
        line = Text.assemble(*((escape(text), style) for text, style in pairs))
        self.print(line, soft_wrap=True)

    def on_broken_pipe(self) -> None:
        """Leaves the exit status to the command; rich would end the program with 1."""
        raise


class _Table(Table):
    """Truncates nothing, so that results can be copied."""

    def __init__(self, *columns: str, counts: Collection[str] = (), **options: Any) -> None:
        """Adds the columns; those in ``counts`` hold numbers."""
        super().__init__(**{"box": box.SIMPLE_HEAD, **options})
        for name in columns:
            self.add_column(name, overflow="fold", justify="right" if name in counts else "left")

    def add(self, *cells: object) -> None:
        """Adds a row, with control characters escaped."""
        self.add_row(*(escape(str(cell)) for cell in cells))


_console = _Console(stderr=True)


def log_handler() -> RichHandler:
    """Writes log lines above the progress display."""
    return RichHandler(console=_console, show_path=False)


def complain(what: str, message: object) -> None:
    """Prints an error."""
    _console.say((f"{what}:", "red"), f" {message}")


@contextmanager
def shown_progress() -> Iterator[tuple[Callable[[str], None], Callable[[str, int], None]]]:
    """Yields two functions: one shows the running stage, the other the rows read from a file."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=_console, transient=True) as progress:
        task = progress.add_task("")
        rows: dict[str, int] = {}

        def show_stage(name: str) -> None:
            progress.update(task, description=name)

        def show_rows(name: str, more: int) -> None:
            rows[name] = rows.get(name, 0) + more
            show_stage(f"extract {escape(name)}: {rows[name]:,} rows")

        yield show_stage, show_rows


def print_result(result: Result) -> None:
    """Prints what is known of the result of a run."""
    table = _Table("name", "value", show_header=False, box=None)
    for name, value in asdict(result).items():
        if value is not None and value != []:
            table.add(name, value if isinstance(value, str) else json.dumps(value))
    _Console(highlight=True).print(table)


def print_plan(plan: Plan | None) -> None:
    """Prints what a load would do to the database."""
    console = _Console()
    if plan is None:
        console.print("No database was given, so the changes are unknown: add --database-url.")
        return
    columns = list(asdict(next(iter(plan.changes.values()))))
    counts = _Table("relation", *columns, counts=columns)
    for relation, changes in plan.changes.items():
        counts.add(relation, *(f"{count:,}" for count in asdict(changes).values()))
    console.print(counts)
    largest = _Table(*FeatureChange._fields, title="largest changes", title_justify="left")
    for change in plan.largest_changes:
        largest.add(*("" if value is None else value for value in change))
    if plan.largest_changes:
        console.print(largest)


def print_quality(report: Report) -> None:
    """Prints what was read, what is wrong with it, and what a load would do."""
    tables, rules = report.summary()
    console = _Console()
    numbers = ("rows", "rejected", "loaded")
    read = _Table("table", "files", *numbers, counts=numbers)
    for t in tables:
        counts = (f"{n:,}" for n in (t.rows, t.rejected, t.rows - t.rejected))
        read.add(t.name, _shorten(t.files), *counts)
    console.print(read)
    for r in rules:
        colour = "red" if r.severity == "error" else "yellow"
        times = f" ({r.issues:,} times)" if r.issues > 1 else ""
        rule = (r.rule, "bold")
        console.say((r.severity, colour), f" {r.table}.", rule, f": {r.message}{times}")
        for example in r.examples:
            console.say(f"    {example}")
    for notice in report.notices:
        console.say(("notice", "yellow"), f" {notice}")
    if rules:
        console.print()
    verdict: list[_Part] = [("would be loaded", "green"), ", without the rejected rows."]
    if report.refusal:
        verdict = [(f"would be {report.refusal.status}:", "red"), f" {report.refusal}"]
    elif not any(t.rejected for t in tables):
        verdict[1] = " with all its rows." if rules else ": every row meets the data contract."
    console.say("This drop ", *verdict)


def print_trace(trace: Trace) -> None:
    """Prints a user's features, the lines behind them, and whether they add up."""
    console = _Console()
    load, features = trace.load, trace.features
    console.say(f"user {trace.user_id} in run {load.run_id}")
    console.say(f"loaded {load.finished_at:%Y-%m-%d %H:%M} UTC from {load.source}")
    table = _Table("name", "value", show_header=False, box=None)
    for name, value in (features or {}).items():
        if value is not None:
            table.add(name, value)
    console.print(table)
    if trace.rows:
        console.print(Text(_lines_of(trace.rows)), soft_wrap=True)
    rows_counted = "1 row" if trace.counted == 1 else f"{trace.counted} rows"
    console.say(
        f"{rows_counted} counted, total_experiments {trace.expected}: ", _verdict(trace.is_equal)
    )


def _lines_of(rows: Sequence[TracedRow]) -> str:
    """The rows as a table, which may be too long for rich to lay out in a moment."""
    table: list[tuple[str, ...]] = [("file:line", "experiment", "compounds", "run time", "counts")]
    for row in rows:
        ids = row.compound_ids
        compounds = ";".join(map(str, ids)) if isinstance(ids, list) else ids
        cells = (row.place, row.experiment_id, compounds, row.run_time)
        shown = tuple("" if cell is None else escape(str(cell)) for cell in cells)
        table.append((*shown, f"rejected: {', '.join(row.rules)}" if row.rules else "yes"))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
    return "\n".join(["", *lines, ""])


def print_reproduction(found: Reproduction) -> None:
    """Prints whether a load came out the same, and if not, what differs."""
    console = _Console()
    for change in found.changes:
        console.say(change)
    for name in ("features_sha256", "issues_sha256"):
        then, now = getattr(found.load, name), getattr(found, name)
        console.say(
            f"{name} {now}: ", _verdict(then == now), "" if then == now else f", {then} then"
        )
    _print_differences(found.differences, ("then", "now"))


def print_verification(found: Verification) -> None:
    """Prints whether the database holds what it should, and if not, what differs."""
    console = _Console()
    for change in found.changes:
        console.say(change)
    _print_differences(found.differences, ("in the database", "computed"))
    what = f"features, compounds and open issues after run {found.load.run_id}"
    console.say(f"{what}: ", _verdict(found.is_equal))


def _print_differences(differences: Sequence[Difference], names: tuple[str, str]) -> None:
    """Prints how each row is, under the names of the two states."""
    for difference in differences:
        then, now = (json.dumps(values) for values in (difference.then, difference.now))
        place = f"{difference.relation} {difference.id}"
        _Console().say(f"{place}: {then} {names[0]}, {now} {names[1]}")


def _verdict(is_equal: bool) -> tuple[str, str]:
    return ("equal", "green") if is_equal else ("not equal", "red")


def print_state(state: State) -> None:
    """Prints what is in force, and what the store holds."""
    console = _Console()
    console.say(f"run {state.run_id}")
    console.say(f"loaded {state.finished_at} from {state.source}")
    for layer in state.layers:
        if len(state.layers) > 1:
            kind = "delta" if layer is not state.layers[0] else "snapshot"
            console.say(f"{kind} of run {layer['run_id']} from {layer['source']}")
        print_files((part["table"], part["name"], part["rows"]) for part in layer["parts"])
    console.say(
        f"{state.store} holds {state.store_bytes:,} bytes in {state.store_files} files, "
        f"of which the last load needs {state.needed_bytes:,}"
    )
    if state.missing_files:
        console.say(
            f"files missing: {state.missing_files}; the next run makes them again if their drops "
            "are still there"
        )


def print_files(files: Iterable[tuple[str, str, int]]) -> None:
    """Prints files: of each its table, name and number of rows."""
    listed = _Table("table", "file", "rows", counts=["rows"])
    for table, name, rows in files:
        listed.add(table, name, f"{rows:,}")
    _Console().print(listed)


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} ... {names[-1]} ({len(names)})"
