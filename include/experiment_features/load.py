"""Load: the features of a run replace those of the last, in one transaction.

Only rows that differ are written, so readers are never blocked, an identical load touches nothing,
and whatever users hang on the tables (views, grants, foreign keys) stays.
"""

import logging
from collections.abc import Iterator
from datetime import datetime

import duckdb
import psycopg
import pyarrow as pa
from psycopg import sql

from experiment_features.database import Connection, copy_batches, database_errors, read_sql
from experiment_features.errors import DatabaseUnavailable
from experiment_features.runs import Run, enter_run, result_of
from experiment_features.workspace import Facts, Workspace

log = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 300
BATCH_ROWS = 50_000

_LOCK = "select pg_advisory_xact_lock(hashtext('experiment_features.load'))"


def load(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Facts:
    """Brings the database to the features of the workspace, and enters the run in the ledger.

    One transaction: staging by COPY, then close the periods that end, update what differs, delete
    what is gone, insert what is new. Loads wait for each other.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        workspace: of a run whose transform stage is done.
        run: the run to enter.
        lock_wait_seconds: how long to wait for another load.

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
    with workspace.stage("load") as facts:
        facts["status"] = "loaded"
        facts |= {name: value for name, value in transformed.items() if name != "seconds"}
        facts |= {name: validated[name] for name in ("rejected_rows", "warnings")}
        with database_errors("load the features"), connection.transaction():
            _take_lock(connection, lock_wait_seconds)
            ((loaded_at,),) = connection.execute(read_sql("select_load_time")).fetchall()
            facts |= _load_user_features(connection, workspace, run, loaded_at)
            _load_compound_features(connection, workspace, run, loaded_at)
            enter_run(connection, workspace, run, facts)
    log.info(
        "loaded run %s: %s users inserted, %s updated, %s deleted, %s unchanged",
        run.run_id,
        *(facts[name] for name in ("inserted", "updated", "deleted", "unchanged")),
    )
    return result_of(workspace, run, facts)


def _take_lock(connection: Connection, wait_seconds: float) -> None:
    """Waits until no other load runs, for the rest of this transaction."""
    try:
        with connection.transaction():  # a savepoint, so that the holder can be asked for
            connection.execute(
                "select set_config('lock_timeout', %s, true)", [f"{int(wait_seconds * 1000)}ms"]
            )
            connection.execute(_LOCK)
    except psycopg.errors.LockNotAvailable as error:
        holder = connection.execute(read_sql("select_lock_holder")).fetchone()
        told = "process {}, user {}, since {:%H:%M:%S %Z}".format(*holder) if holder else "unknown"
        raise DatabaseUnavailable(
            f"another load held the load lock for {wait_seconds:g} s ({told}): wait for it, or end "
            "it with pg_terminate_backend"
        ) from error


def _load_user_features(
    connection: Connection, workspace: Workspace, run: Run, loaded_at: datetime
) -> Facts:
    values = {"run_id": run.run_id, "loaded_at": loaded_at}
    staged = _stage(connection, workspace, "user_features")
    connection.execute(read_sql("close_user_periods"), values)
    updated = connection.execute(read_sql("update_user_features"), values).rowcount
    deleted = connection.execute(read_sql("delete_user_features")).rowcount
    inserted = connection.execute(read_sql("insert_user_features"), values).rowcount
    unchanged = staged - inserted - updated
    return {
        "inserted": inserted,
        "updated": updated,
        "deleted": deleted,
        "unchanged": unchanged,
    }


def _load_compound_features(
    connection: Connection, workspace: Workspace, run: Run, loaded_at: datetime
) -> None:
    values = {"run_id": run.run_id, "loaded_at": loaded_at}
    _stage(connection, workspace, "compound_features")
    connection.execute(read_sql("update_compound_features"), values)
    connection.execute(read_sql("delete_compound_features"))
    connection.execute(read_sql("insert_compound_features"), values)


def _stage(connection: Connection, workspace: Workspace, relation: str) -> int:
    """Copies a relation of the workspace into its staging table; returns the number of rows."""
    connection.execute(read_sql(f"stage_{relation}"))
    rows = _rows_to_stage(workspace, relation)
    count = copy_batches(connection, read_sql(f"copy_{relation}"), rows)
    connection.execute(
        sql.SQL("analyze {}").format(sql.Identifier(f"staged_{relation}"))
    )  # temporary tables have no statistics, and the planner would take nested loops
    return count


def _rows_to_stage(workspace: Workspace, relation: str) -> Iterator[pa.RecordBatch]:
    """The rows of a relation, with lists spelled as PostgreSQL's COPY reads them."""
    with duckdb.connect() as database:
        rows = database.execute(
            read_sql(f"read_{relation}").as_string(),
            {"path": str(workspace.features(relation))},
        )
        yield from rows.fetch_record_batch(BATCH_ROWS)
