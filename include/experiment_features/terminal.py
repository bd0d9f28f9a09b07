"""The command line's output: progress, errors, results and the quality of a drop."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiment_features.errors import DropRejected
from experiment_features.rules.issues import RuleQuality, TableQuality
from experiment_features.run import Result

_console = Console(stderr=True)


def log_handler() -> RichHandler:
    """Writes log lines above the progress display."""
    return RichHandler(console=_console, show_path=False)


def complain(what: str, message: object) -> None:
    """Prints an error."""
    # Brackets in paths and cell values are not markup.
    _console.print(f"[red]{what}:[/] {escape(str(message))}", highlight=False, soft_wrap=True)


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
            show_stage(f"extract {escape(name)}: {rows[name]:,} rows")

        yield show_stage, show_rows


def print_result(result: Result) -> None:
    """Prints the result of a run."""
    table = Table(show_header=False, box=None)
    for column in ("name", "value"):
        table.add_column(column, overflow="fold")  # never cut: a result is also for copying
    for name, value in asdict(result).items():
        table.add_row(name, escape(json.dumps(value) if isinstance(value, dict) else str(value)))
    Console().print(table)


def print_quality(
    tables: list[TableQuality], rules: list[RuleQuality], refusal: DropRejected | None
) -> None:
    """Prints what was read, what is wrong with it, and what a load would do."""
    console = Console(highlight=False)
    read = Table(box=box.SIMPLE_HEAD)
    for name in ("table", "files"):
        read.add_column(name, overflow="fold")
    for name in ("rows", "rejected", "loaded"):
        read.add_column(name, justify="right", overflow="fold")
    for t in tables:
        counts = (f"{n:,}" for n in (t.rows, t.rejected, t.rows - t.rejected))
        read.add_row(t.name, escape(_shorten(t.files)), *counts)
    console.print(read)
    for r in rules:
        colour = "red" if r.severity == "error" else "yellow"
        times = f" ({r.issues:,} times)" if r.issues > 1 else ""
        console.print(
            f"[{colour}]{r.severity}[/] {r.table}.[bold]{r.rule}[/]: {r.message}{times}",
            soft_wrap=True,
        )
        for example in r.examples:
            console.print(f"    {escape(example)}", soft_wrap=True)
    if rules:
        console.print()
    verdict = "[green]would be loaded[/], without the rejected rows."
    if refusal:
        verdict = f"[red]would be refused:[/] {escape(str(refusal))}"
    elif not rules:
        verdict = "[green]would be loaded[/]: every row meets the data contract."
    console.print(f"This drop {verdict}", soft_wrap=True)


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} ... {names[-1]} ({len(names)})"
