"""The pipeline without Airflow, for development, benchmarks and one-off loads.

    PYTHONPATH=include .venv/bin/python -m experiment_features run SOURCE --database-url URL
    PYTHONPATH=include .venv/bin/python -m experiment_features check SOURCE
    PYTHONPATH=include .venv/bin/python -m experiment_features migrate --database-url URL

Exit status: 0 done (loaded, unchanged, or fit to be loaded), 1 the input was refused, 2 wrong
usage, 3 the database failed.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiment_features.config import Settings
from experiment_features.database import connect, migrate
from experiment_features.engines import ENGINES
from experiment_features.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    DropRejected,
    PipelineError,
    TerminalError,
    WorkspaceUnavailable,
)
from experiment_features.pipeline import Pipeline
from experiment_features.quality import RuleQuality, TableQuality, summarise
from experiment_features.runs import Run
from experiment_features.storage import AnyPath, StoredPath, is_stored, opening_errors
from experiment_features.workspace import Facts, Workspace

_console = Console(stderr=True)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.WARNING, handlers=[RichHandler(console=_console, show_path=False)]
    )
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # warns of what the error says anyway
    try:
        return int(options.command(options))
    except (DatabaseUnavailable, DatabaseRefused) as error:
        _complain("database", error)
        return 3
    except PipelineError as error:
        _complain("refused" if isinstance(error, TerminalError) else "failed", error)
        return 1
    except KeyboardInterrupt:
        _complain("interrupted", "the features are as they were, or wholly loaded")
        return 130


def _complain(what: str, message: object) -> None:
    # Paths and cells are no markup, whatever brackets they hold.
    _console.print(f"[red]{what}:[/] {escape(str(message))}", highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="experiment_features", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    url = os.environ.get("DATABASE_URL")
    database = argparse.ArgumentParser(add_help=False)
    database.add_argument(
        "--database-url",
        metavar="URL",
        default=url,
        help="postgresql://user@host/database, or set DATABASE_URL",
    )

    drop = argparse.ArgumentParser(add_help=False)
    drop.add_argument("source", help="the drop's folder: a path, or a URI such as s3://bucket/key")
    drop.add_argument("--engine", choices=ENGINES, default="auto")
    drop.add_argument(
        "--max-rejected-percent",
        type=_percent,
        default=10,
        metavar="N",
        help="refuse a drop with more faulty rows in a table (default: 10)",
    )
    drop.add_argument("--allow-empty", action="store_true", help="take tables without rows")

    run = commands.add_parser("run", parents=[drop, database], help="load a drop")
    run.add_argument("--force", action="store_true", help="load an unchanged drop again")
    run.add_argument("--dry-run", action="store_true", help="read and compute, load nothing")
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    run.set_defaults(command=_run, fail=run.error)

    check = commands.add_parser(
        "check", parents=[drop], help="say what a load would make of a drop"
    )
    check.set_defaults(command=_check)

    upgrade = commands.add_parser(
        "migrate", parents=[database], help="create or upgrade the schema"
    )
    upgrade.set_defaults(command=_migrate, fail=upgrade.error)
    return parser


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return value


def _run(options: argparse.Namespace) -> int:
    if not options.dry_run and not options.database_url:
        options.fail("the argument --database-url is required, but for a --dry-run")
    url = None if options.dry_run else options.database_url
    with _pipeline(options, url) as pipeline:
        result = _run_stages(pipeline, _open_source(options.source))
    _print_result(result, as_json=options.json)
    return 0


def _check(options: argparse.Namespace) -> int:
    with _pipeline(options, None) as pipeline:
        pipeline.extract(_open_source(options.source))
        refusal = None
        try:
            pipeline.validate()
        except DropRejected as error:
            refusal = error
        print_quality(*summarise(pipeline.workspace), refusal)
    return 1 if refusal else 0


@contextmanager
def _pipeline(options: argparse.Namespace, url: str | None) -> Iterator[Pipeline]:
    """A new run in a workspace of its own, which is gone at the end."""
    started_at = datetime.now(UTC)
    run = Run(
        run_id=f"cli__{started_at:%Y-%m-%dT%H:%M:%S.%f}",
        trigger="cli",
        started_at=started_at,
        max_rejected_percent=options.max_rejected_percent,
        allow_empty=options.allow_empty,
        force=getattr(options, "force", False),
    )
    try:
        workspace = tempfile.TemporaryDirectory(prefix="experiment_features_")
    except OSError as error:
        raise WorkspaceUnavailable(
            f"no temporary folder can be made ({error}): free disk space, or name one in TMPDIR"
        ) from error
    with workspace as folder:
        yield Pipeline(
            run=run,
            workspace=Workspace(Path(folder) / "run"),
            engine=options.engine,
            connect=None if url is None else lambda: connect(url),
            settings=Settings.from_environment(),
        )


def _open_source(source: str) -> AnyPath:
    """The drop's folder; a store's own settings say how to get in (AWS_ACCESS_KEY_ID, ...)."""
    if not is_stored(source):
        return Path(source).absolute()
    from fsspec.core import url_to_fs

    with opening_errors(source):
        store = url_to_fs(source)[0]
    return StoredPath(source, store)


def _run_stages(pipeline: Pipeline, source: AnyPath) -> Facts:
    """Runs all stages, and shows on a terminal where they are."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    hidden = not _console.is_terminal
    with Progress(*columns, console=_console, transient=True, disable=hidden) as progress:
        task = progress.add_task("extract")
        rows: dict[str, int] = {}

        def show_rows(name: str, more: int) -> None:
            rows[name] = rows.get(name, 0) + more
            progress.update(task, description=f"extract {escape(name)}: {rows[name]:,} rows")

        pipeline.extract(source, show_rows)
        progress.update(task, description="validate")
        pipeline.validate()
        progress.update(task, description="transform")
        pipeline.transform()
        progress.update(task, description="load")
        return pipeline.load()


def _print_result(result: Facts, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    table = Table(show_header=False, box=None)
    for name, value in result.items():
        table.add_row(name, escape(json.dumps(value) if isinstance(value, dict) else str(value)))
    Console().print(table)


def print_quality(
    tables: list[TableQuality], rules: list[RuleQuality], refusal: DropRejected | None
) -> None:
    """Prints what was read, what is wrong with it, and what a load would do."""
    console = Console(highlight=False)
    read = Table(box=box.SIMPLE_HEAD)
    for name in ("table", "files"):
        read.add_column(name)
    for name in ("rows", "rejected", "loaded"):
        read.add_column(name, justify="right")
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
        verdict = "[green]would be loaded[/]: every row is as the contract asks."
    console.print(f"This drop {verdict}", soft_wrap=True)


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} ... {names[-1]} ({len(names)})"


def _migrate(options: argparse.Namespace) -> int:
    if not options.database_url:
        options.fail("the argument --database-url is required")
    revision = migrate(options.database_url)
    _console.print(f"the schema features is at revision {revision}", highlight=False)
    return 0


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads the result has seen enough of it
        status = 0
    os._exit(status)  # Python takes half a second to take itself down, all of it for nothing
