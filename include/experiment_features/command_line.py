"""The pipeline without Airflow, for development, benchmarks and one-off loads.

    PYTHONPATH=include .venv/bin/python -m experiment_features run SOURCE --database-url URL
    PYTHONPATH=include .venv/bin/python -m experiment_features check SOURCE
    PYTHONPATH=include .venv/bin/python -m experiment_features migrate --database-url URL

Exit status: 0 success (loaded, unchanged, or fit to load), 1 the drop was refused, rejected or
held, 2 wrong usage, 3 a database error, 4 a disk, storage or cluster error (trying again may
help), 130 interrupted.

terminal.py is imported only where it is needed, because many runs have no terminal.
"""

import argparse
import getpass
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from experiment_features.arguments import make_parser
from experiment_features.check import check
from experiment_features.config import Settings, is_stored
from experiment_features.drop.allowed_source import local_path
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import AnyPath, StoredPath, opening_errors
from experiment_features.errors import (
    ConfigurationError,
    DatabaseRefused,
    DatabaseUnavailable,
    PipelineError,
    TransientError,
)
from experiment_features.load.database import connect
from experiment_features.load.migrate import migrate
from experiment_features.output import complain, log_handler, print_json, writing_result
from experiment_features.pipeline import Pipeline, recorded
from experiment_features.reading.typed_file import Progress
from experiment_features.run import Run
from experiment_features.temporary_folder import temporary_folder
from experiment_features.visible_text import escape
from experiment_features.workspace import Workspace

Done = TypeVar("Done")

_INTERRUPTED = "Query interrupted"
"""The text of the RuntimeError that DuckDB raises when a signal interrupts a query."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    options = make_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, handlers=[log_handler()])
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings repeat the error
    try:
        return _COMMANDS[options.command](options)
    except (DatabaseUnavailable, DatabaseRefused) as error:
        complain("database", error)
        return 3
    except PipelineError as error:
        complain(error.status, error)
        return 4 if isinstance(error, TransientError) else 1
    except (KeyboardInterrupt, RuntimeError) as error:
        if isinstance(error, RuntimeError) and str(error) != _INTERRUPTED:
            raise
        complain("interrupted", "the features are either unchanged or completely loaded")
        return 130


def _run(options: argparse.Namespace) -> int:
    if not options.dry_run and not options.database_url:
        options.fail("--database-url is required, except with --dry-run")
    source = _open_source(options.source)
    with _pipeline(options, options.database_url) as pipeline:
        if options.dry_run:
            return _plan(options, pipeline, source)
        result = _run_stages(pipeline, source, pipeline.load)
    with writing_result():
        if options.json:
            print_json(asdict(result))
        else:
            from experiment_features import terminal

            terminal.print_result(result)
    return 0


def _plan(options: argparse.Namespace, pipeline: Pipeline, source: AnyPath) -> int:
    result, plan = _run_stages(pipeline, source, pipeline.plan)
    with writing_result():
        if options.json:
            print_json({**asdict(result), "plan": plan.as_json() if plan else None})
        else:
            from experiment_features import terminal

            terminal.print_result(result)
            terminal.print_plan(plan)
    if plan and plan.held:
        raise plan.held
    return 0


def _check(options: argparse.Namespace) -> int:
    source = _open_source(options.source)
    if (
        isinstance(source, LocalPath)
        and options.csv
        and options.csv.resolve().parent == source.path.resolve()
    ):
        options.fail("--csv: FILE would become part of the drop: choose a path outside its folder")
    with _pipeline(options, options.database_url) as pipeline:
        report = check(pipeline, source)
        if options.csv:
            report.write_issues(options.csv)
        if report.is_unread and not options.json:
            raise cast("PipelineError", report.refusal)
        with writing_result():
            if options.json:
                print_json(report.as_json())
            else:
                from experiment_features import terminal

                terminal.print_quality(report)
    return 1 if report.refusal else 0


@contextmanager
def _pipeline(options: argparse.Namespace, url: str | None) -> Iterator[Pipeline]:
    """A new run in its own temporary workspace."""
    started_at = datetime.now(UTC)
    run = Run(
        run_id=f"cli__{started_at:%Y-%m-%dT%H:%M:%S.%f}",
        trigger="cli",
        started_at=started_at,
        today=started_at.date(),
        triggered_by=_user(),
        given_source=options.source,
        max_rejected_percent=options.max_rejected_percent,
        max_removed_percent=options.max_removed_percent,
        allow_empty=options.allow_empty,
        force=getattr(options, "force", False),
    )
    with temporary_folder() as folder:
        _require_utf8(f"the temporary folder {folder}", str(folder), "set TMPDIR to another")
        settings = Settings.from_environment()
        yield Pipeline(
            run=run,
            workspace=Workspace(folder / "run"),
            engine=options.engine,
            connect=None if url is None else lambda: connect(url),
            settings=settings,
            store=_open_store(settings.store),
            is_dry_run=getattr(options, "dry_run", True),
        )


def _user() -> str | None:
    try:
        return escape(getpass.getuser())
    except (KeyError, OSError):  # in a container, the user may have no name
        return None


def _open_source(source: str) -> AnyPath:
    """The drop's folder."""
    _require_utf8(f"the source {source}", source, "rename the folder")
    if not is_stored(source):
        try:
            return LocalPath(local_path(source).absolute())
        except OSError as error:
            raise ConfigurationError(
                f"the source {source} is relative, and the current folder cannot be read "
                f"({error.strerror}): give the source's absolute path"
            ) from error
    return _open_stored(source)


def _open_store(place: str) -> Path | StoredPath:
    """The store of parts."""
    return _open_stored(place) if is_stored(place) else Path(place).absolute()


def _open_stored(uri: str) -> StoredPath:
    """A place in object storage, which has its own access settings (AWS_ACCESS_KEY_ID, ...)."""
    from fsspec.core import url_to_fs

    with opening_errors(uri):
        return StoredPath(uri, url_to_fs(uri)[0])


def _require_utf8(what: str, path: str, remedy: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{what} is not UTF-8: {remedy}") from error


def _run_stages(pipeline: Pipeline, source: AnyPath, last: Callable[[], Done]) -> Done:
    """Runs all stages, the last of which may be a plan, showing progress on a terminal."""
    connect = None if pipeline.is_dry_run else pipeline.connect
    with _shown_progress() as (show_stage, show_rows):
        stages: dict[str, Callable[[], Any]] = {
            "extract": lambda: pipeline.extract(source, show_rows),
            "validate": pipeline.validate,
            "transform": pipeline.transform,
            "load": last,
        }
        for stage, run in stages.items():
            show_stage(stage)
            with recorded(connect, pipeline.run, stage):
                done = run()
    return cast("Done", done)


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
    revision = migrate(options.database_url, adopt_store=options.adopt_store)
    with suppress(OSError):
        sys.stderr.write(f"the schema features is at revision {revision}\n")
    return 0


_COMMANDS = {"run": _run, "check": _check, "migrate": _migrate}
