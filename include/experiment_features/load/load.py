"""Loads the features of a run in place of those of the last, in one transaction.

Only rows that differ are written, so readers are never blocked, an identical load changes nothing,
and whatever users add to the tables (views, grants, foreign keys) stays.
"""

import logging
from dataclasses import asdict, replace
from typing import Any

from experiment_features.definitions import RELATIONS, USER_FEATURES
from experiment_features.load.database import (
    LOCK_WAIT_SECONDS,
    TIMEOUT_SECONDS,
    Connection,
    load_transaction,
    read_sql,
)
from experiment_features.load.ledger import (
    computed,
    enter_run,
    find_last_load,
    forget_old_runs,
)
from experiment_features.load.merge import merge
from experiment_features.run import Result, Run
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)


def load(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    keep_days: int,
    timeout_seconds: float = TIMEOUT_SECONDS,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Result:
    """Writes the features of the workspace to the database, and the run to the ledger.

    One transaction: stage the rows with COPY, compare them all at once, close the periods that end,
    then update, delete and insert rows, count the users by number of experiments, and remove old
    runs. Loads wait for each other.

    A committed load can be run again (its acknowledgement was lost, or its task was cleared): as
    long as it is the last one and no row differs, its entry and its result stay as they were.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        workspace: of a run whose transform stage is done.
        run: the run to record.
        keep_days: how long the ledger keeps runs and their issues.
        timeout_seconds: how long a statement may take, or the session be idle.
        lock_wait_seconds: how long to wait for another load, or any other lock.

    Raises:
        DatabaseUnavailable: the database is down, or another load holds the lock for too long.
        DatabaseRefused: the schema or a privilege is missing, or a row violates a constraint.
    """
    transaction = load_transaction(
        connection,
        f"load run {run.run_id}",
        name=run.run_id,
        timeout_seconds=timeout_seconds,
        lock_wait_seconds=lock_wait_seconds,
    )
    with workspace.stage(Result) as stage:
        result = computed(workspace, run, "loaded")
        with transaction:
            result = _write(connection, workspace, run, result)
            forget_old_runs(connection, keep_days)
        stage.finish(result)
    log.info(
        "loaded run %s: %s users inserted, %s updated, %s deleted, %s unchanged",
        run.run_id,
        *(getattr(result, name) for name in ("inserted", "updated", "deleted", "unchanged")),
    )
    return replace(result, seconds=workspace.seconds())


def _write(connection: Connection, workspace: Workspace, run: Run, result: Result) -> Result:
    """Writes features and run; returns the result with the numbers of changed rows."""
    ((loaded_at,),) = connection.execute(read_sql("select_load_time")).fetchall()
    values: dict[str, Any] = {"run_id": run.run_id, "loaded_at": loaded_at}
    changes = {
        relation: merge(connection, relation, workspace.features(relation.name), **values)
        for relation in RELATIONS
    }
    connection.execute(read_sql("count_users"))
    last = find_last_load(connection)
    is_repeated = last and last.result.run_id == run.run_id and last.is_load_of(workspace, run)
    if last and is_repeated and not any(change.written for change in changes.values()):
        return replace(last.result, source=result.source)
    result = replace(result, **asdict(changes[USER_FEATURES]))
    enter_run(connection, workspace, run, result, loaded_at)
    return result
