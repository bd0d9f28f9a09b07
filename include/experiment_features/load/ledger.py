"""The run ledger: what each run read, found and did, and every issue of its drop."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from experiment_features.contract import DEFINITION_VERSION
from experiment_features.engines import arrow
from experiment_features.errors import DatabaseRefused
from experiment_features.load.copy import copy_batches
from experiment_features.load.database import (
    TIMEOUT_SECONDS,
    Connection,
    database_errors,
    load_transaction,
    read_sql,
)
from experiment_features.run import STAGES, Run
from experiment_features.workspace import Facts, Workspace

_COUNTS = ("users", "experiments", "compounds", "average_experiments_per_user")
_FAULTS = ("rejected_rows", "warnings")
_CHANGES = ("inserted", "updated", "deleted", "unchanged")


def find_known_files(connection: Connection, run: Run) -> list[Facts]:
    """The files of the last load, if this run would make the same of them; else none.

    Columns of each: table, name, bytes, sha256, rows.
    """
    with database_errors("read the run ledger"):
        last = find_last_load(connection)
        connection.rollback()
    if run.force or last is None or not _is_made_alike(last, run):
        return []
    return list(last["source_files"])


def record_unchanged(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    keep_days: int,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Facts:
    """Enters a run whose drop the database holds already; returns its result.

    When the run itself is the one that loaded the drop, its entry stays as it is.

    Raises:
        DatabaseRefused: another drop was loaded since this one was read.
    """
    doing = f"record the unchanged run {run.run_id}"
    transaction = load_transaction(
        connection, doing, name=run.run_id, timeout_seconds=timeout_seconds
    )
    with workspace.stage("load") as facts, transaction:
        last = find_last_load(connection)
        if last is None or not is_load_of(last, workspace, run):
            told = f"run {last['run_id']} loaded another one since" if last else "it is gone"
            raise DatabaseRefused(
                f"cannot {doing}: the features were this drop's when it was read, but {told}. "
                "Run it again from the start"
            )
        facts |= result_facts(last)
        if last["run_id"] != run.run_id:
            facts |= {"status": "unchanged", "engine": None, **dict.fromkeys(_CHANGES, 0)}
            facts["unchanged"] = last["users"]
            enter_run(connection, workspace, run, facts)
        forget_old_runs(connection, keep_days)
    return result_of(workspace, run, facts)


def record_rejected(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Enters a run that max_rejected_percent stopped, with the issues of its drop.

    When an earlier try of the same run made the last load, the ledger must go on saying what the
    features are: the rejected try is then entered as ``<run_id>/rejected``.
    """
    validated = workspace.facts("validate")
    facts: Facts = {"status": "rejected", **dict.fromkeys(_COUNTS), **dict.fromkeys(_CHANGES, 0)}
    facts |= {name: validated[name] for name in _FAULTS}
    doing = f"record the rejected run {run.run_id}"
    with load_transaction(connection, doing, name=run.run_id, timeout_seconds=timeout_seconds):
        last = find_last_load(connection)
        if last and last["run_id"] == run.run_id:
            run = replace(run, run_id=f"{run.run_id}/rejected")
        enter_run(connection, workspace, run, facts)


def preview(workspace: Workspace, run: Run) -> Facts:
    """The result of a dry run: what would be loaded; how much of it is new, nobody asked."""
    facts: Facts = {"status": "dry run", **dict.fromkeys(_CHANGES)}
    facts |= {name: v for name, v in workspace.facts("transform").items() if name != "seconds"}
    facts |= {name: workspace.facts("validate")[name] for name in _FAULTS}
    return result_of(workspace, run, facts)


def enter_run(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    facts: Facts,
    loaded_at: datetime | None = None,
) -> None:
    """Writes the run, and its issues if it has any, in place of an earlier try of the same run.

    ``facts`` has the status, the counts of rows, and those of inserted, updated, deleted and
    unchanged users; ``engine`` if there was one. ``loaded_at`` is when its periods begin.
    """
    extracted = workspace.facts("extract")
    connection.execute(read_sql("delete_run"), {"run_id": run.run_id})
    connection.execute(
        read_sql("insert_run"),
        {
            **{name: facts[name] for name in ("status", *_COUNTS, *_FAULTS, *_CHANGES)},
            "run_id": run.run_id,
            "trigger": run.trigger,
            "source": extracted["source"],
            "source_files": Jsonb(extracted["files"]),
            "parameters": Jsonb(run.parameters),
            "engine": facts.get("engine"),
            "definition_version": DEFINITION_VERSION,
            "started_at": run.started_at,
            "loaded_at": loaded_at,
        },
    )
    if workspace.issues.exists() and facts["status"] != "unchanged":
        _copy_issues(connection, workspace, run)


def _copy_issues(connection: Connection, workspace: Workspace, run: Run) -> None:
    with pq.ParquetFile(workspace.issues) as issues:
        names = ["run_id", *issues.schema_arrow.names]
        batches = (
            pa.RecordBatch.from_arrays(
                [pa.repeat(arrow.text(run.run_id), len(batch)), *batch.columns], names=names
            )
            for batch in issues.iter_batches()
        )
        copy_batches(connection, sql.Identifier("features", "data_issues"), names, batches)


def forget_old_runs(connection: Connection, keep_days: int) -> None:
    """Removes the runs, with their issues, that ended longer ago; never the last load."""
    connection.execute(read_sql("delete_old_runs"), {"keep_days": keep_days})


def find_last_load(connection: Connection) -> dict[str, Any] | None:
    """The ledger's entry of the run whose features the database holds."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(read_sql("select_last_load")).fetchone()


def find_load_of(connection: Connection, source: str, run: Run) -> dict[str, Any] | None:
    """The ledger's entry of the latest load of a source, if this run would make the same of it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(read_sql("select_load_of_source"), {"source": source}).fetchone()
    return found if found and _is_made_alike(found, run) else None


def find_last_success(connection: Connection) -> datetime | None:
    """When the latest run ended that loaded its drop or found it loaded."""
    row = connection.execute(read_sql("select_last_success")).fetchone()
    return row[0] if row else None


def is_load_of(last: dict[str, Any], workspace: Workspace, run: Run) -> bool:
    """Whether the last load read the workspace's files, and made of them what the run would."""
    files = workspace.facts("extract")["files"]
    return last["source_files"] == files and _is_made_alike(last, run)


def _is_made_alike(last: dict[str, Any], run: Run) -> bool:
    made = (last["parameters"], last["definition_version"])
    return made == (run.parameters, DEFINITION_VERSION)


def result_facts(last: dict[str, Any]) -> Facts:
    """What the ledger's entry of a load says of its result."""
    return {
        "status": "loaded",
        **{name: last[name] for name in ("engine", *_COUNTS, *_FAULTS, *_CHANGES)},
    }


def result_of(workspace: Workspace, run: Run, facts: Facts) -> Facts:
    """The run's result, as the API, the DAG and the command line give it."""
    seconds = {
        stage: workspace.facts(stage)["seconds"]
        for stage in STAGES
        if workspace.record(stage).exists()
    }
    return {
        "run_id": run.run_id,
        "status": facts["status"],
        "source": workspace.facts("extract")["source"],
        "engine": facts.get("engine"),
        **{name: facts[name] for name in (*_COUNTS, *_FAULTS, *_CHANGES)},
        "seconds": seconds,
    }
