"""How a run begins and ends in the run ledger, whatever ends it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from experiment_features.errors import DatabaseUnavailable, PipelineError
from experiment_features.load.database import Connect, Connection, database_errors
from experiment_features.load.entries import (
    Ending,
    check_entry,
    tidy,
    write_counted,
    write_entry,
)
from experiment_features.load.ledger import entry_id, has_run
from experiment_features.run import STAGES, Extracted, Run
from experiment_features.visible_text import escape

log = logging.getLogger(__name__)


@contextmanager
def recorded(
    connect: Connect | None,
    run: Run,
    task: str,
    *,
    retried: tuple[type[BaseException], ...] = (),
) -> Iterator[None]:
    """Enters in the ledger that a run begins, with its first task, and with which error it ends.

    Args:
        connect: opens the features database; None for a dry run.
        run: the run.
        task: the stage that is about to run.
        retried: errors after which the task is tried again, so that they do not end the run.
    """
    if connect and task == STAGES[0]:
        with connect() as connection:
            begin_run(connection, run)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if connect and not isinstance(error, retried):
            # An interrupt just after the load must not add a failed repeat to the ledger.
            only_running = isinstance(error, KeyboardInterrupt)
            record_end(connect, run, task, error, only_running=only_running)
        raise


def record_end(
    connect: Connect, run: Run, task: str, error: BaseException, *, only_running: bool
) -> bool:
    """Enters how a run ended: see end_run. If that is not possible, the log says so."""
    try:
        with connect() as connection:
            return end_run(connection, run, Ending.of(task, error), only_running=only_running)
    except PipelineError as trouble:
        is_told = isinstance(error, DatabaseUnavailable)
        log.log(
            logging.INFO if is_told else logging.WARNING,
            "the end of run %s could not be recorded in the ledger: %s",
            escape(run.run_id),
            trouble,
        )
        return False


def begin_run(connection: Connection, run: Run) -> None:
    """Enters a run as running, and ends the entries of lost runs.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with (
        database_errors(f"enter run {run.run_id} in the ledger", connection=connection),
        connection.transaction(),
    ):
        tidy(connection, "end_lost_runs", "features.pipeline_runs")
        run_id = entry_id(connection, run)
        write_entry(
            connection, run, {"run_id": run_id, "status": "running", "task": Extracted.stage}
        )


def end_run(connection: Connection, run: Run, ending: Ending, *, only_running: bool) -> bool:
    """Enters how a run ended.

    Args:
        connection: of a user with the role features_writer.
        run: the run.
        ending: how it ended.
        only_running: whether to leave an entry alone that says how the run ended, or is missing.
            Else the entry is one of an earlier attempt, or there is none, if the run was repeated
            from a later task than its first.

    Returns:
        Whether it had to be entered.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with (
        database_errors(f"enter the end of run {run.run_id}", connection=connection),
        connection.transaction(),
    ):
        run_id = entry_id(connection, run)
        if not only_running and not has_run(connection, run_id):
            write_entry(connection, run, {"run_id": run_id, "status": "running"})
        entry = {"run_id": run_id, **asdict(ending)}
        values = entry | {"only_running": only_running}
        written = write_counted(connection, "end_run", "features.pipeline_runs", values)
        if written:
            check_entry(connection, entry)
    return bool(written)


def enter_source(connection: Connection, run: Run, source: str) -> None:
    """Enters the source of a running run.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with database_errors("enter the source", connection=connection), connection.transaction():
        values = {"run_id": entry_id(connection, run), "source": source}
        write_counted(connection, "set_source", "features.pipeline_runs", values)
