"""The run ledger: what each run read, found and did, and every issue of its drop."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from experiment_features.contract import DEFINITION_VERSION
from experiment_features.database import Connection, copy_batches, database_errors, read_sql
from experiment_features.workspace import Facts, Workspace

STAGES = ("extract", "validate", "transform", "load")

_COUNTS = ("users", "experiments", "compounds", "average_experiments_per_user")
_CHANGES = ("inserted", "updated", "deleted", "unchanged")


@dataclass(frozen=True)
class Run:
    """What is known of a run before it begins."""

    run_id: str
    trigger: str
    """scheduled, manual, api, asset, backfill or cli."""

    started_at: datetime
    max_rejected_percent: float = 10
    allow_empty: bool = False
    force: bool = False

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that decide what a drop becomes; with other ones it is loaded again."""
        return {
            "max_rejected_percent": self.max_rejected_percent,
            "allow_empty": self.allow_empty,
        }


def find_known_files(connection: Connection, run: Run) -> list[Facts]:
    """The files of the last load, if this run would make the same of them; else none.

    Columns of each: table, name, bytes, sha256, rows.
    """
    with database_errors("read the run ledger"):
        last = _last_load(connection)
        connection.rollback()
    if run.force or last is None:
        return []
    is_same = (last["parameters"], last["definition_version"]) == (
        run.parameters,
        DEFINITION_VERSION,
    )
    return list(last["source_files"]) if is_same else []


def record_unchanged(connection: Connection, workspace: Workspace, run: Run) -> Facts:
    """Enters a run whose drop the database holds already; returns its result."""
    with (
        workspace.stage("load") as facts,
        database_errors("record the run"),
        connection.transaction(),
    ):
        last = _last_load(connection) or {}
        found = {name: last.get(name) for name in (*_COUNTS, "rejected_rows", "warnings")}
        facts |= {"status": "unchanged", **found, **dict.fromkeys(_CHANGES, 0)}
        facts["unchanged"] = last.get("users") or 0
        enter_run(connection, workspace, run, facts)
    return result_of(workspace, run, facts)


def record_rejected(connection: Connection, workspace: Workspace, run: Run) -> None:
    """Enters a run that max_rejected_percent stopped, with the issues of its drop."""
    validated = workspace.facts("validate")
    facts: Facts = {"status": "rejected", **dict.fromkeys(_COUNTS), **dict.fromkeys(_CHANGES, 0)}
    facts |= {name: validated[name] for name in ("rejected_rows", "warnings")}
    with database_errors("record the rejected run"), connection.transaction():
        enter_run(connection, workspace, run, facts)


def preview(workspace: Workspace, run: Run) -> Facts:
    """The result of a dry run: what would be loaded; how much of it is new, nobody asked."""
    facts: Facts = {"status": "dry run", **dict.fromkeys(_CHANGES)}
    facts |= {name: v for name, v in workspace.facts("transform").items() if name != "seconds"}
    facts |= {n: workspace.facts("validate")[n] for n in ("rejected_rows", "warnings")}
    return result_of(workspace, run, facts)


def enter_run(connection: Connection, workspace: Workspace, run: Run, facts: Facts) -> None:
    """Writes the run, and its issues if it has any, in place of an earlier try of the same run.

    ``facts`` has the status, the counts of rows, and those of inserted, updated, deleted and
    unchanged users; ``engine`` if there was one.
    """
    extracted = workspace.facts("extract")
    connection.execute("delete from features.pipeline_runs where run_id = %s", [run.run_id])
    connection.execute(
        read_sql("insert_run"),
        {
            **{name: facts[name] for name in (*_COUNTS, *_CHANGES)},
            **{name: facts[name] for name in ("status", "rejected_rows", "warnings")},
            "run_id": run.run_id,
            "trigger": run.trigger,
            "source": extracted["source"],
            "source_files": Jsonb(extracted["files"]),
            "parameters": Jsonb(run.parameters),
            "engine": facts.get("engine"),
            "definition_version": DEFINITION_VERSION,
            "started_at": run.started_at,
        },
    )
    if workspace.issues.exists() and facts["status"] != "unchanged":
        issues = pq.ParquetFile(workspace.issues)
        batches = (
            pa.RecordBatch.from_arrays(
                [pa.repeat(run.run_id, len(batch)), *batch.columns],
                names=["run_id", *batch.schema.names],
            )
            for batch in issues.iter_batches()
        )
        copy_batches(connection, read_sql("copy_issues"), batches)


def result_of(workspace: Workspace, run: Run, facts: Facts) -> Facts:
    """The run's result, as the API, the DAG and the command line give it."""
    seconds = {
        stage: workspace.facts(stage)["seconds"]
        for stage in STAGES
        if (workspace.folder / f"{stage}.json").exists()
    }
    return {
        "run_id": run.run_id,
        "status": facts["status"],
        "source": workspace.facts("extract")["source"],
        "engine": facts.get("engine"),
        **{name: facts[name] for name in (*_COUNTS, "rejected_rows", "warnings", *_CHANGES)},
        "seconds": seconds,
    }


def _last_load(connection: Connection) -> dict[str, Any] | None:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(read_sql("select_last_load")).fetchone()
