"""The run ledger: what each run read, found and did, and every issue of its drop."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.drop.files import DropFile
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
from experiment_features.run import Extracted, Result, Run, Transformed, Validated
from experiment_features.workspace import Workspace

_INPUT_COLUMNS = ("source_files", "parameters", "definition_version")
_COLUMNS = (*Result.columns(), *_INPUT_COLUMNS)


@dataclass(frozen=True)
class Entry:
    """The ledger's entry for a run that loaded its drop, or found it already loaded."""

    result: Result
    source_files: list[DropFile]
    parameters: dict[str, Any]
    definition_version: int

    def has_rules_of(self, run: Run) -> bool:
        """Whether this run would compute the same features from the same files."""
        rules = (self.parameters, self.definition_version)
        return rules == (run.parameters, DEFINITION_VERSION)

    def is_load_of(self, workspace: Workspace, run: Run) -> bool:
        """Whether it read the workspace's files, and this run would compute the same from them."""
        return self.source_files == workspace.found(Extracted).files and self.has_rules_of(run)


def find_known_files(connection: Connection, run: Run) -> list[DropFile]:
    """The files of the last load if this run would compute the same from them, else none."""
    with database_errors("read the run ledger", connection=connection):
        last = find_last_load(connection)
        connection.rollback()
    return last.source_files if last and last.has_rules_of(run) and not run.force else []


def record_unchanged(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    keep_days: int,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Result:
    """Records a run whose drop was already loaded; returns its result.

    If this run itself loaded the drop, its entry stays as it is.

    Raises:
        DatabaseRefused: another drop has been loaded since this one was read.
    """
    doing = f"record the unchanged run {run.run_id}"
    transaction = load_transaction(
        connection, doing, name=run.run_id, timeout_seconds=timeout_seconds
    )
    with workspace.stage(Result) as stage, transaction:
        last = find_last_load(connection)
        if last is None or not last.is_load_of(workspace, run):
            change = f"run {last.result.run_id} has loaded another" if last else "no load is left"
            raise DatabaseRefused(
                f"cannot {doing}: its drop was the last one loaded, but since then {change}. "
                "Run it again from the start"
            )
        result = replace(last.result, source=workspace.found(Extracted).source)
        if result.run_id != run.run_id:
            result = replace(
                result,
                run_id=run.run_id,
                status="unchanged",
                engine=None,
                inserted=0,
                updated=0,
                deleted=0,
                unchanged=result.users,
            )
            enter_run(connection, workspace, run, result)
        forget_old_runs(connection, keep_days)
        stage.finish(result)
    return replace(result, seconds=workspace.seconds())


def record_rejected(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Records a run that max_rejected_percent stopped, with the issues of its drop.

    If an earlier attempt of the same run made the last load, its entry must stay, because it
    describes the features: the rejected attempt is then recorded as ``<run_id>/rejected``.
    """
    doing = f"record the rejected run {run.run_id}"
    with load_transaction(connection, doing, name=run.run_id, timeout_seconds=timeout_seconds):
        last = find_last_load(connection)
        is_last = last is not None and last.result.run_id == run.run_id
        validated = workspace.found(Validated)
        result = Result(
            run_id=f"{run.run_id}/rejected" if is_last else run.run_id,
            status="rejected",
            source=workspace.found(Extracted).source,
            rejected_rows=validated.rejected_rows,
            warnings=validated.warnings,
            inserted=0,
            updated=0,
            deleted=0,
            unchanged=0,
        )
        enter_run(connection, workspace, run, result)


def computed(workspace: Workspace, run: Run, status: str) -> Result:
    """The result of a run whose features are computed, but not loaded yet."""
    validated = workspace.found(Validated)
    return Result(
        run_id=run.run_id,
        status=status,
        source=workspace.found(Extracted).source,
        rejected_rows=validated.rejected_rows,
        warnings=validated.warnings,
        **asdict(workspace.found(Transformed)),
    )


def preview(workspace: Workspace, run: Run) -> Result:
    """The result of a dry run: what would be loaded, without comparing it to the database."""
    return replace(computed(workspace, run, "dry run"), seconds=workspace.seconds())


def enter_run(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    result: Result,
    loaded_at: datetime | None = None,
) -> None:
    """Records the run and its issues, replacing an earlier attempt of the same run.

    ``loaded_at`` is when its periods begin.
    """
    entry = {name: getattr(result, name) for name in Result.columns()} | {
        "trigger": run.trigger,
        "source_files": Jsonb(workspace.found(Extracted).files),
        "parameters": Jsonb(run.parameters),
        "definition_version": DEFINITION_VERSION,
        "today": run.today,
    }
    connection.execute(read_sql("delete_run"), {"run_id": result.run_id})
    connection.execute(
        read_sql("insert_run").format(
            columns=sql.SQL(", ").join(map(sql.Identifier, entry)),
            values=sql.SQL(", ").join(map(sql.Placeholder, entry)),
        ),
        entry | {"started_at": run.started_at, "loaded_at": loaded_at},
    )
    if workspace.issues.exists() and result.status != "unchanged":
        _copy_issues(connection, workspace, result.run_id)


def _copy_issues(connection: Connection, workspace: Workspace, run_id: str) -> None:
    with pq.ParquetFile(workspace.issues) as issues:
        names = ["run_id", *issues.schema_arrow.names]
        batches = (
            pa.RecordBatch.from_arrays(
                [pa.repeat(arrow.text(run_id), len(batch)), *batch.columns], names=names
            )
            for batch in issues.iter_batches()
        )
        copy_batches(connection, sql.Identifier("features", "data_issues"), names, batches)


def forget_old_runs(connection: Connection, keep_days: int) -> None:
    """Removes runs that ended longer ago, with their issues; never the last load."""
    connection.execute(read_sql("delete_old_runs"), {"keep_days": keep_days})


def find_last_load(connection: Connection) -> Entry | None:
    """The ledger's entry for the run whose features are in the database."""
    return _find(connection, "select_last_load", {})


def find_load_of(connection: Connection, source: str, run: Run) -> Entry | None:
    """The entry for the latest load of a source, if this run would compute the same from it."""
    found = _find(connection, "select_load_of_source", {"source": source})
    return found if found and found.has_rules_of(run) else None


def _find(connection: Connection, query: str, values: dict[str, Any]) -> Entry | None:
    columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(read_sql(query).format(columns=columns), values).fetchone()
    if row is None:
        return None
    result = Result(**{name: row[name] for name in Result.columns()})
    return Entry(result, **{name: row[name] for name in _INPUT_COLUMNS})


def find_last_success(connection: Connection) -> datetime | None:
    """When the latest run that loaded its drop, or found it already loaded, ended."""
    row = connection.execute(read_sql("select_last_success")).fetchone()
    return row[0] if row else None
