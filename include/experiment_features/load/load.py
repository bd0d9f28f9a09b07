"""Load: the features of a run replace those of the last, in one transaction.

Only rows that differ are written, so readers are never blocked, an identical load touches nothing,
and whatever users hang on the tables (views, grants, foreign keys) stays.
"""

import logging
from datetime import datetime

import pyarrow.parquet as pq
from psycopg import sql

from experiment_features.load.copy import copy_batches
from experiment_features.load.database import (
    LOCK_WAIT_SECONDS,
    TIMEOUT_SECONDS,
    Connection,
    load_transaction,
    read_sql,
)
from experiment_features.load.ledger import (
    enter_run,
    find_last_load,
    forget_old_runs,
    is_load_of,
    result_facts,
    result_of,
)
from experiment_features.run import Run
from experiment_features.workspace import Facts, Workspace

log = logging.getLogger(__name__)

BATCH_ROWS = 50_000


def load(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    keep_days: int,
    timeout_seconds: float = TIMEOUT_SECONDS,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Facts:
    """Brings the database to the features of the workspace, and enters the run in the ledger.

    One transaction: staging by COPY, one comparison of all rows, then close the periods that end,
    update what differs, delete what is gone, insert what is new; count the users by their
    experiments; forget the runs of long ago. Loads wait for each other.

    A load that was committed can be run again (its acknowledgement was lost, or its task cleared):
    while it is the last one and there is nothing to mend, its entry and its result stay as they
    were.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        workspace: of a run whose transform stage is done.
        run: the run to enter.
        keep_days: how long the ledger remembers runs and their issues.
        timeout_seconds: how long a statement may take, or the session be silent.
        lock_wait_seconds: how long to wait for another load, or any other lock.

    Returns:
        The run's result: run_id, status, source, engine, users, experiments, compounds,
        average_experiments_per_user, rejected_rows, warnings; inserted, updated, deleted and
        unchanged users; seconds per stage.

    Raises:
        DatabaseUnavailable: the database is away, or another load holds the lock for too long.
        DatabaseRefused: the schema or a privilege is missing, or a constraint forbids a row.
    """
    transformed = workspace.facts("transform")
    validated = workspace.facts("validate")
    transaction = load_transaction(
        connection,
        f"load run {run.run_id}",
        name=run.run_id,
        timeout_seconds=timeout_seconds,
        lock_wait_seconds=lock_wait_seconds,
    )
    with workspace.stage("load") as facts:
        facts["status"] = "loaded"
        facts |= {name: value for name, value in transformed.items() if name != "seconds"}
        facts |= {name: validated[name] for name in ("rejected_rows", "warnings")}
        with transaction:
            ((loaded_at,),) = connection.execute(read_sql("select_load_time")).fetchall()
            changes = _load_relation(connection, workspace, run, "user_features", loaded_at)
            others = _load_relation(connection, workspace, run, "compound_features", loaded_at)
            connection.execute(read_sql("count_users"))
            facts |= changes
            last = find_last_load(connection)
            if (
                last
                and last["run_id"] == run.run_id
                and is_load_of(last, workspace, run)
                and not _count_written(changes)
                and not _count_written(others)
            ):
                facts |= result_facts(last)
            else:
                enter_run(connection, workspace, run, facts, loaded_at)
            forget_old_runs(connection, keep_days)
    log.info(
        "loaded run %s: %s users inserted, %s updated, %s deleted, %s unchanged",
        run.run_id,
        *(facts[name] for name in ("inserted", "updated", "deleted", "unchanged")),
    )
    return result_of(workspace, run, facts)


def _load_relation(
    connection: Connection, workspace: Workspace, run: Run, relation: str, loaded_at: datetime
) -> dict[str, int]:
    """Brings a relation to the staged rows; returns how many were inserted, updated, ..."""
    values = {"run_id": run.run_id, "loaded_at": loaded_at}
    staged = _stage(connection, workspace, relation)
    connection.execute(read_sql(f"compare_{relation}"))
    _analyze(connection, f"changed_{relation}")
    if relation == "user_features":
        connection.execute(read_sql("close_user_periods"), values)
    updated = connection.execute(read_sql(f"update_{relation}"), values).rowcount
    deleted = connection.execute(read_sql(f"delete_{relation}")).rowcount
    inserted = connection.execute(read_sql(f"insert_{relation}"), values).rowcount
    return {
        "inserted": inserted,
        "updated": updated,
        "deleted": deleted,
        "unchanged": staged - inserted - updated,
    }


def _count_written(changes: dict[str, int]) -> int:
    return changes["inserted"] + changes["updated"] + changes["deleted"]


def _stage(connection: Connection, workspace: Workspace, relation: str) -> int:
    """Copies a relation of the workspace into its staging table; returns the number of rows."""
    connection.execute(read_sql(f"stage_{relation}"))
    staging = f"staged_{relation}"
    with pq.ParquetFile(workspace.features(relation)) as rows:
        batches = rows.iter_batches(BATCH_ROWS)
        count = copy_batches(connection, sql.Identifier(staging), rows.schema_arrow.names, batches)
    _analyze(connection, staging, rows.schema_arrow.names[0])  # it is joined by its key alone
    log.info("staged %s: %s rows", relation, f"{count:,}")
    return count


def _analyze(connection: Connection, table: str, *columns: str) -> None:
    """Makes statistics, which temporary tables lack: the planner would take nested loops."""
    statement = sql.SQL("analyze {}").format(sql.Identifier(table))
    if columns:
        statement += sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, columns)))
    connection.execute(statement)
