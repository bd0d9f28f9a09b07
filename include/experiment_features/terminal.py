"""The command line's output: progress, errors, results and the quality of a drop."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape as escape_markup
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiment_features.check import Report
from experiment_features.load.plan import FeatureChange, Plan
from experiment_features.report.trace import Trace, TracedRow
from experiment_features.reproduction import Reproduction
from experiment_features.run import Result
from experiment_features.state import State
from experiment_features.visible_text import escape


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves the exit status to the command; rich would end the program with 1."""
        raise


_console = _Console(stderr=True)


def _plain(text: object) -> str:
    """Text from outside: its brackets are not markup, and it cannot control the terminal."""
    return escape_markup(escape(str(text)))


def log_handler() -> RichHandler:
    """Writes log lines above the progress display."""
    return RichHandler(console=_console, show_path=False)


def complain(what: str, message: object) -> None:
    """Prints an error."""
    _console.print(f"[red]{what}:[/] {_plain(message)}", highlight=False, soft_wrap=True)


@contextmanager
def shown_progress() -> Iterator[tuple[Callable[[str], None], Callable[[str, int], None]]]:
    """Yields two functions: one shows the running stage, the other the rows read from a file."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_console, transient=True) as progress:
        task = progress.add_task("")
        rows: dict[str, int] = {}

        def show_stage(name: str) -> None:
            progress.update(task, description=name)

        def show_rows(name: str, more: int) -> None:
            rows[name] = rows.get(name, 0) + more
            show_stage(f"extract {_plain(name)}: {rows[name]:,} rows")

        yield show_stage, show_rows


def print_result(result: Result) -> None:
    """Prints what is known of the result of a run."""
    table = Table(show_header=False, box=None)
    for column in ("name", "value"):
        table.add_column(column, overflow="fold")  # never truncated, so that results can be copied
    for name, value in asdict(result).items():
        if value is not None and value != []:
            table.add_row(name, _plain(value if isinstance(value, str) else json.dumps(value)))
    _Console().print(table)


def print_plan(plan: Plan | None) -> None:
    """Prints what a load would do to the database."""
    console = _Console(highlight=False)
    if plan is None:
        console.print("No database was given, so the changes are unknown: add --database-url.")
        return
    counts = Table(box=box.SIMPLE_HEAD)
    counts.add_column("relation")
    for name in asdict(next(iter(plan.changes.values()))):
        counts.add_column(name, justify="right")
    for relation, changes in plan.changes.items():
        counts.add_row(relation, *(f"{count:,}" for count in asdict(changes).values()))
    console.print(counts)
    largest = Table(box=box.SIMPLE_HEAD, title="largest changes", title_justify="left")
    for name in FeatureChange._fields:
        largest.add_column(name)
    for change in plan.largest_changes:
        user_id, feature, *values = change
        shown = ("" if value is None else str(value) for value in values)
        largest.add_row(str(user_id), feature, *map(_plain, shown))
    if plan.largest_changes:
        console.print(largest)


def print_quality(report: Report) -> None:
    """Prints what was read, what is wrong with it, and what a load would do."""
    tables, rules = report.summary()
    console = _Console(highlight=False)
    read = Table(box=box.SIMPLE_HEAD)
    for name in ("table", "files"):
        read.add_column(name, overflow="fold")
    for name in ("rows", "rejected", "loaded"):
        read.add_column(name, justify="right", overflow="fold")
    for t in tables:
        counts = (f"{n:,}" for n in (t.rows, t.rejected, t.rows - t.rejected))
        read.add_row(t.name, _plain(_shorten(t.files)), *counts)
    console.print(read)
    for r in rules:
        colour = "red" if r.severity == "error" else "yellow"
        times = f" ({r.issues:,} times)" if r.issues > 1 else ""
        console.print(
            f"[{colour}]{r.severity}[/] {r.table}.[bold]{r.rule}[/]: {r.message}{times}",
            soft_wrap=True,
        )
        for example in r.examples:
            console.print(f"    {_plain(example)}", soft_wrap=True)
    for notice in report.notices:
        console.print(f"[yellow]notice[/] {_plain(notice)}", soft_wrap=True)
    if rules:
        console.print()
    verdict = "[green]would be loaded[/], without the rejected rows."
    if report.refusal:
        verdict = f"[red]would be {report.refusal.status}:[/] {_plain(report.refusal)}"
    elif not rules:
        verdict = "[green]would be loaded[/]: every row meets the data contract."
    console.print(f"This drop {verdict}", soft_wrap=True)


def print_trace(trace: Trace) -> None:
    """Prints a user's features, the lines behind them, and whether they add up."""
    console = _Console(highlight=False)
    load, features = trace.load, trace.features
    console.print(f"user {trace.user_id} in run {_plain(load.run_id)}", soft_wrap=True)
    console.print(
        f"loaded {load.finished_at:%Y-%m-%d %H:%M} UTC from {_plain(load.source)}", soft_wrap=True
    )
    table = Table(show_header=False, box=None)
    for name in ("name", "value"):
        table.add_column(name, overflow="fold")
    for name, value in (features or {}).items():
        if value is not None:
            table.add_row(name, _plain(value))
    console.print(table)
    if trace.rows:
        console.print(_lines_of(trace.rows), markup=False, soft_wrap=True)
    verdict = "[green]equal[/]" if trace.is_equal else "[red]not equal[/]"
    rows_counted = "1 row" if trace.counted == 1 else f"{trace.counted} rows"
    console.print(
        f"{rows_counted} counted, total_experiments {trace.expected}: {verdict}",
        soft_wrap=True,
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
    console = _Console(highlight=False)
    for change in found.changes:
        console.print(_plain(change), soft_wrap=True)
    for name in ("features_sha256", "issues_sha256"):
        then, now = getattr(found.load, name), getattr(found, name)
        verdict = "[green]equal[/]" if then == now else f"[red]not equal[/], {then} then"
        console.print(f"{name} {now}: {verdict}", soft_wrap=True)
    for difference in found.differences:
        then, now = (json.dumps(values) for values in (difference.then, difference.now))
        console.print(
            f"{difference.relation} {difference.id}: {_plain(then)} then, {_plain(now)} now",
            soft_wrap=True,
        )


def print_state(state: State) -> None:
    """Prints what is in force, and what the store holds."""
    console = _Console(highlight=False)
    console.print(f"run {_plain(state.run_id)}", soft_wrap=True)
    console.print(f"loaded {state.finished_at} from {_plain(state.source)}", soft_wrap=True)
    for layer in state.layers:
        if len(state.layers) > 1:
            kind = "delta" if layer is not state.layers[0] else "snapshot"
            of_layer = f"{kind} of run {_plain(layer['run_id'])} from {_plain(layer['source'])}"
            console.print(f"\n{of_layer}", soft_wrap=True)
        files = Table(box=box.SIMPLE_HEAD)
        for name in ("table", "file"):
            files.add_column(name, overflow="fold")
        files.add_column("rows", justify="right")
        for part in layer["parts"]:
            files.add_row(part["table"], _plain(part["name"]), f"{part['rows']:,}")
        console.print(files)
    console.print(
        f"{_plain(state.store)} holds {state.store_bytes:,} bytes in {state.store_files} files, "
        f"of which the last load needs {state.needed_bytes:,}",
        soft_wrap=True,
    )


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} ... {names[-1]} ({len(names)})"
