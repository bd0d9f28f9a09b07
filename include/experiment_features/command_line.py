"""The pipeline without Airflow, for development, benchmarks and one-off loads.

    PYTHONPATH=include .venv/bin/python -m experiment_features run SOURCE --database-url URL
    PYTHONPATH=include .venv/bin/python -m experiment_features check SOURCE
    PYTHONPATH=include .venv/bin/python -m experiment_features migrate --database-url URL

Exit status: 0 success (loaded, unchanged, or fit to load), 1 the run was refused or failed, 2 wrong
usage, 3 a database error, 130 interrupted.

terminal.py is imported only where it is needed, because many runs have no terminal.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from experiment_features import version
from experiment_features.config import Settings, is_stored
from experiment_features.drop.object_storage import AnyPath, StoredPath, opening_errors
from experiment_features.engines.choose import ENGINES
from experiment_features.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    DropRejected,
    PipelineError,
    TerminalError,
    WorkspaceUnavailable,
)
from experiment_features.load.database import connect
from experiment_features.load.migrate import migrate
from experiment_features.pipeline import Pipeline
from experiment_features.reading.typed_file import Progress
from experiment_features.rules.issues import summarise
from experiment_features.run import Result, Run
from experiment_features.workspace import Workspace

_INTERRUPTED = "Query interrupted"
"""The text of the RuntimeError that DuckDB raises when a signal interrupts a query."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, handlers=[_log_handler()])
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings repeat the error
    try:
        return int(options.command(options))
    except (DatabaseUnavailable, DatabaseRefused) as error:
        _complain("database", error)
        return 3
    except PipelineError as error:
        _complain("refused" if isinstance(error, TerminalError) else "failed", error)
        return 1
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != _INTERRUPTED:
            raise
        _complain("interrupted", "the features are either unchanged or fully loaded")
        return 130


def _log_handler() -> logging.Handler:
    if not sys.stderr.isatty():
        return logging.StreamHandler()
    from experiment_features import terminal

    return terminal.log_handler()


def _complain(what: str, message: object) -> None:
    from experiment_features import terminal

    terminal.complain(what, message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="experiment_features", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show version and commit")
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
    drop.add_argument("--engine", choices=ENGINES, default="auto", help="what to compute on")
    drop.add_argument(
        "--max-rejected-percent",
        type=_percent,
        default=10,
        metavar="N",
        help="refuse a drop if more than N percent of a table's rows are faulty (default: 10)",
    )
    drop.add_argument("--allow-empty", action="store_true", help="accept tables without rows")

    run = commands.add_parser("run", parents=[drop, database], help="load a drop")
    run.add_argument("--force", action="store_true", help="load an unchanged drop again")
    run.add_argument("--dry-run", action="store_true", help="read and compute, but load nothing")
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    run.set_defaults(command=_run, fail=run.error)

    check = commands.add_parser("check", parents=[drop], help="show what loading a drop would do")
    check.set_defaults(command=_check)

    upgrade = commands.add_parser(
        "migrate", parents=[database], help="create or upgrade the schema"
    )
    upgrade.set_defaults(command=_migrate, fail=upgrade.error)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"{parser.prog} {version.describe()}\n")
        parser.exit()


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 100") from None
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return value


def _run(options: argparse.Namespace) -> int:
    if not options.dry_run and not options.database_url:
        options.fail("--database-url is required, except with --dry-run")
    url = None if options.dry_run else options.database_url
    with _pipeline(options, url) as pipeline:
        result = _run_stages(pipeline, _open_source(options.source))
    if options.json:
        sys.stdout.write(json.dumps(asdict(result)) + "\n")
    else:
        from experiment_features import terminal

        terminal.print_result(result)
    return 0


def _check(options: argparse.Namespace) -> int:
    from experiment_features import terminal

    with _pipeline(options, None) as pipeline:
        pipeline.extract(_open_source(options.source))
        refusal = None
        try:
            pipeline.validate()
        except DropRejected as error:
            refusal = error
        terminal.print_quality(
            *summarise(pipeline.workspace, pipeline.settings.memory_limit), refusal
        )
    return 1 if refusal else 0


@contextmanager
def _pipeline(options: argparse.Namespace, url: str | None) -> Iterator[Pipeline]:
    """A new run in its own temporary workspace."""
    started_at = datetime.now(UTC)
    run = Run(
        run_id=f"cli__{started_at:%Y-%m-%dT%H:%M:%S.%f}",
        trigger="cli",
        started_at=started_at,
        today=started_at.date(),
        max_rejected_percent=options.max_rejected_percent,
        allow_empty=options.allow_empty,
        force=getattr(options, "force", False),
    )
    try:
        workspace = tempfile.TemporaryDirectory(prefix="experiment_features_")
    except OSError as error:
        raise WorkspaceUnavailable(
            f"cannot create a temporary folder ({error}): free disk space, or set TMPDIR"
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
    """The drop's folder; object storage has its own access settings (AWS_ACCESS_KEY_ID, ...)."""
    if not is_stored(source):
        return Path(source).absolute()
    from fsspec.core import url_to_fs

    with opening_errors(source):
        store = url_to_fs(source)[0]
    return StoredPath(source, store)


def _run_stages(pipeline: Pipeline, source: AnyPath) -> Result:
    """Runs all stages, showing progress on a terminal."""
    with _shown_progress() as (show_stage, show_rows):
        show_stage("extract")
        pipeline.extract(source, show_rows)
        show_stage("validate")
        pipeline.validate()
        show_stage("transform")
        pipeline.transform()
        show_stage("load")
        return pipeline.load()


@contextmanager
def _shown_progress() -> Iterator[tuple[Callable[[str], None], Progress | None]]:
    if not sys.stderr.isatty():
        yield (lambda _stage: None), None
        return
    from experiment_features import terminal

    with terminal.shown_progress() as shown:
        yield shown


def _migrate(options: argparse.Namespace) -> int:
    if not options.database_url:
        options.fail("--database-url is required")
    revision = migrate(options.database_url)
    sys.stderr.write(f"the schema features is at revision {revision}\n")
    return 0
