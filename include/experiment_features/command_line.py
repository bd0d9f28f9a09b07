"""The pipeline without Airflow, for development, benchmarks and one-off loads.

    PYTHONPATH=include .venv/bin/python -m experiment_features run SOURCE --database-url URL
    PYTHONPATH=include .venv/bin/python -m experiment_features check SOURCE
    PYTHONPATH=include .venv/bin/python -m experiment_features migrate --database-url URL
    PYTHONPATH=include .venv/bin/python -m experiment_features trace USER_ID --database-url URL

Exit status: 0 success (loaded, unchanged, or fit to load), 1 the drop was refused, rejected or
held, 2 wrong usage, 3 a database error, 4 a disk, storage or cluster error (trying again may
help), 130 interrupted.

terminal.py is imported only where it is needed, because many runs have no terminal.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import cast

from experiment_features import load_commands
from experiment_features.arguments import make_parser
from experiment_features.check import check
from experiment_features.command_run import load_or_plan, open_run, open_source
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import (
    DatabaseRefused,
    DatabaseUnavailable,
    PipelineError,
    TransientError,
)
from experiment_features.load.migrate import migrate
from experiment_features.output import complain, log_handler, print_json, writing_result
from experiment_features.visible_text import escape

_INTERRUPTED = ("Query interrupted", "KeyboardInterrupt:")
"""How the texts of the errors end that DuckDB raises when a signal interrupts a query, or a method
of Python that it calls."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    try:
        logging.basicConfig(level=logging.WARNING, handlers=[log_handler()])
        logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings repeat the error
        options = make_parser().parse_args(arguments)
        return _COMMANDS[options.command](options)
    except (DatabaseUnavailable, DatabaseRefused) as error:
        complain("database", error)
        return 3
    except PipelineError as error:
        complain(error.status, error)
        return 4 if isinstance(error, TransientError) else 1
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, Exception) and not str(error).strip().endswith(_INTERRUPTED):
            raise
        complain("interrupted", "the features are either unchanged or completely loaded")
        return 130


def _run(options: argparse.Namespace) -> int:
    if not options.dry_run and not options.database_url:
        options.fail("--database-url is required, except with --dry-run")
    source = open_source(options.source)
    with open_run(options, options.database_url, given_source=options.source) as pipeline:
        return load_or_plan(options, pipeline, partial(pipeline.extract, source))


def _check(options: argparse.Namespace) -> int:
    source = open_source(options.source)
    if options.csv:
        _check_target(options, source)
    with open_run(options, options.database_url, given_source=options.source) as pipeline:
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


def _check_target(options: argparse.Namespace, source: AnyPath) -> None:
    """Refuses a --csv that cannot be written, or must not be, before the drop is read."""
    try:
        target = options.csv.resolve()
        is_in_drop = isinstance(source, LocalPath) and target.parent == source.path.resolve()
        # Standard output, and what a shell puts in place of >(...), is a pipe without a path.
        is_other = target.is_dir() or target.is_fifo() or target.is_socket()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links is one or the other
        options.fail(f"--csv: {escape(str(options.csv))} cannot be used: {error}")
    if is_in_drop:
        options.fail("--csv: FILE would become part of the drop: choose a path outside its folder")
    if is_other:
        options.fail(f"--csv: {escape(str(options.csv))} is no file: choose another path")


def _migrate(options: argparse.Namespace) -> int:
    if not options.database_url:
        options.fail("--database-url is required")
    revision = migrate(options.database_url, adopt_store=options.adopt_store)
    with suppress(OSError):
        sys.stderr.write(f"the schema features is at revision {revision}\n")
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "check": _check,
    "trace": load_commands.trace,
    "reproduce": load_commands.reproduce,
    "restore": load_commands.restore,
    "state": load_commands.state,
    "store": load_commands.prune,
    "migrate": _migrate,
}
