"""Writes the run ledger: how each run begins and ends. See ledger.py for what the statuses mean."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from experiment_features.contract import TABLES
from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.errors import DatabaseRefused, DropRejected, PipelineError
from experiment_features.load.database import (
    TIMEOUT_SECONDS,
    Connection,
    check_unaltered,
    check_written,
    comma_separated,
    database_errors,
    load_transaction,
    read_sql,
)
from experiment_features.load.issues import (
    IssueChanges,
    close_issues,
    compare_issues,
    copy_issues,
    merge_issues,
)
from experiment_features.load.ledger import entry_id, find_last_load, has_run
from experiment_features.load.part_store import entered
from experiment_features.run import COMPUTATION, Extracted, Result, Run, Transformed, Validated
from experiment_features.visible_text import escape
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a run that failed ended: in which task, with which kind of error, and where."""

    status: str
    task: str
    error: str
    error_file: str | None
    error_line: int | None
    error_column: str | None
    message: str
    """May quote a cell: readers cannot see it."""

    @classmethod
    def of(cls, task: str, error: BaseException) -> "Ending":
        """The ending of a run that this error ended."""
        place = (error.file, error.line, error.column) if isinstance(error, PipelineError) else ()
        status = error.status if isinstance(error, PipelineError) else PipelineError.status
        message = escape(str(error)) or type(error).__name__
        return cls(status, task, type(error).__name__, *(place or (None, None, None)), message)


_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(
        [*Result.columns(), *(each.name for each in fields(Ending)), *COMPUTATION],
    ),
    **dict.fromkeys(("inserted", "updated", "deleted", "unchanged"), 0),
    "average_run_time": None,
    "totals": None,
    "state_hash": None,
    "base_run_id": None,
    "notices": [],
    "judged": None,
    "issues_by_rule": None,
    "loaded_at": None,
    "source_files": Jsonb([]),
    "parts": Jsonb([]),
}
"""What an entry has as long as nothing else is known, whatever defaults the columns have."""


def begin_run(connection: Connection, run: Run) -> None:
    """Enters a run as running, and ends the entries of lost runs.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with (
        database_errors(f"enter run {run.run_id} in the ledger", connection=connection),
        connection.transaction(),
    ):
        _tidy(connection, "end_lost_runs", "features.pipeline_runs")
        run_id = entry_id(connection, run)
        _enter(connection, run, {"run_id": run_id, "status": "running", "task": Extracted.stage})


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
            _enter(connection, run, {"run_id": run_id, "status": "running"})
        entry = {"run_id": run_id, **asdict(ending)}
        values = entry | {"only_running": only_running}
        written = _write(connection, "end_run", "features.pipeline_runs", values)
        if written:
            _check_entry(connection, entry)
    return bool(written)


def enter_source(connection: Connection, run: Run, source: str) -> None:
    """Enters the source of a running run.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    with database_errors("enter the source", connection=connection), connection.transaction():
        values = {"run_id": entry_id(connection, run), "source": source}
        _write(connection, "set_source", "features.pipeline_runs", values)


def record_unchanged(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    keep_days: int,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Result:
    """Records a run whose drop was already loaded; returns its result.

    Raises:
        DatabaseRefused: another drop has been loaded since this one was read.
    """
    doing = f"record the unchanged run {run.run_id}"
    transaction = load_transaction(
        connection, doing, name=run.run_id, timeout_seconds=timeout_seconds
    )
    with workspace.stage(Result) as stage, transaction:
        last = find_last_load(connection)
        if last is None or not last.is_load_of(workspace):
            change = f"run {last.result.run_id} has loaded another" if last else "it was removed"
            raise DatabaseRefused(
                f"cannot {doing}: its drop was the last one loaded, but since then {change}. "
                "Run it again from the start"
            )
        result = replace(
            last.result,
            run_id=entry_id(connection, run),
            status="unchanged",
            healed=0,
            given_source=run.given_source,
            source=workspace.found(Extracted).source,
            engine=None,
            inserted=0,
            updated=0,
            deleted=0,
            unchanged=last.result.users,
            notices=[],
        )
        enter_run(
            connection,
            workspace,
            run,
            result,
            average_run_time=last.average_run_time,
            totals=last.totals,
            computation=last.computation,
        )
        forget_old_runs(connection, keep_days)
        stage.finish(result)
    return replace(result, seconds=workspace.seconds())


def record_rejected(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    error: DropRejected,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Records a run that max_rejected_percent stopped, with the issues of its drop."""
    doing = f"record the rejected run {run.run_id}"
    with load_transaction(connection, doing, name=run.run_id, timeout_seconds=timeout_seconds):
        validated = workspace.found(Validated)
        result = Result(
            run_id=entry_id(connection, run),
            status=error.status,
            mode=workspace.found(Extracted).mode,
            given_source=run.given_source,
            source=workspace.found(Extracted).source,
            rejected_rows=validated.rejected_rows,
            warnings=validated.warnings,
            inserted=0,
            updated=0,
            deleted=0,
            unchanged=0,
        )
        ending = Ending.of(Validated.stage, error)
        enter_run(connection, workspace, run, result, ending, judged=error.judged)


def computed(workspace: Workspace, run: Run, status: str) -> Result:
    """The result of a run whose features are computed, but not loaded yet."""
    validated = workspace.found(Validated)
    transformed = asdict(workspace.found(Transformed))
    return Result(
        run_id=run.run_id,
        status=status,
        mode=workspace.found(Extracted).mode,
        given_source=run.given_source,
        source=workspace.found(Extracted).source,
        rejected_rows=validated.rejected_rows,
        warnings=validated.warnings,
        notices=list(validated.notices),
        **{name: transformed[name] for name in transformed if name in Result.columns()},
    )


def compare_with_issues(
    connection: Connection, workspace: Workspace, run_id: str
) -> IssueChanges | None:
    """How a load on several layers changes the open issues; None if it brings all rows itself."""
    *earlier, _ = workspace.found(Extracted).layers
    if not earlier:
        return None
    is_whole = workspace.found(Transformed).is_whole
    return compare_issues(
        connection,
        workspace.issues,
        run_id,
        touched={table.name: workspace.touched(table.name) for table in TABLES},
        judged=None if is_whole else {table.name: workspace.judged(table.name) for table in TABLES},
        known=None if is_whole else {table.name: workspace.known(table.name) for table in TABLES},
        earlier_run_ids=[layer["run_id"] for layer in earlier],
    )


def computation_of(workspace: Workspace) -> dict[str, str | None]:
    """By what a run was computed, and the digests of the outcome: see run.COMPUTATION."""
    found = asdict(workspace.found(Validated)) | asdict(workspace.found(Transformed))
    return {name: found[name] for name in COMPUTATION}


def enter_run(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    result: Result,
    ending: Ending | None = None,
    *,
    average_run_time: float | None = None,
    totals: Mapping[str, int] | None = None,
    computation: dict[str, str | None] | None = None,
    loaded_at: datetime | None = None,
    changes: IssueChanges | None = None,
    judged: dict[str, dict[str, int]] | None = None,
) -> None:
    """Records how a run ended, and its issues; replaces the entry of the attempt.

    ``computation`` is that of the features in force, ``loaded_at`` when its periods begin,
    ``changes`` how a delta changes the issues, and ``judged`` why a drop was rejected. A snapshot
    closes all issues that were open. Of a run that did not load, the issues of each file and rule
    are kept up to a limit.
    """
    extracted = workspace.found(Extracted)
    is_unchanged = result.status == "unchanged"  # then the last load names the parts
    layers = [] if is_unchanged else entered(extracted.layers, result.run_id)
    entry = {name: getattr(result, name) for name in Result.columns()} | {
        "notices": list(result.notices),
        "source_files": Jsonb(extracted.files),
        "parts": Jsonb(layers),
        "base_run_id": extracted.base_run_id,
        "average_run_time": average_run_time,
        "totals": Jsonb(totals) if totals else None,
        "judged": judged and Jsonb(judged),
        "issues_by_rule": _by_rule(workspace, result, changes),
        "loaded_at": loaded_at,
        **(computation or {}),
        **(asdict(ending) if ending else {}),
    }
    _enter(connection, run, entry)
    is_load = result.status == "loaded"
    if changes:
        merge_issues(connection, result.run_id, changes)
        return
    if is_load:
        close_issues(connection, result.run_id)
    if workspace.issues.exists() and not is_unchanged:
        copy_issues(connection, workspace.issues, result.run_id, is_load=is_load)


def _by_rule(workspace: Workspace, result: Result, changes: IssueChanges | None) -> Jsonb | None:
    """How many issues hold by rule; of a rejected snapshot, how many it had."""
    if changes:
        return Jsonb(changes.by_rule)
    is_known = result.status in ("loaded", "rejected") and result.mode == "snapshot"
    return Jsonb(dict(workspace.found(Validated).rules)) if is_known else None


def _enter(connection: Connection, run: Run, entry: dict[str, Any]) -> None:
    entry = {
        **_UNKNOWN,
        "trigger": run.trigger,
        "triggered_by": run.triggered_by,
        "given_source": run.given_source,
        "parameters": Jsonb(run.parameters),
        "definition_version": DEFINITION_VERSION,
        "today": run.today,
        **entry,
    }
    _delete(connection, entry["run_id"])
    written = connection.execute(
        read_sql("insert_run").format(
            columns=comma_separated(entry),
            values=sql.SQL(", ").join(map(sql.Placeholder, entry)),
        ),
        entry | {"started_at": run.started_at},
    ).rowcount
    check_written("features.pipeline_runs", "insert", 1, written)
    _check_entry(connection, entry)


def _check_entry(connection: Connection, entry: dict[str, Any]) -> None:
    """Reads an entry back: a trigger can silently change it."""
    query = read_sql("count_entry").format(
        columns=comma_separated(entry),
        values=sql.SQL(", ").join(map(sql.Placeholder, entry)),
    )
    ((found,),) = connection.execute(query, entry).fetchall()
    check_unaltered("features.pipeline_runs", 1 - found)


def _write(connection: Connection, statement: str, table: str, values: dict[str, Any]) -> int:
    """Executes a statement that counts what it has to write and what it wrote; returns the number.

    Raises:
        DatabaseRefused: the numbers differ.
    """
    ((due, written),) = connection.execute(read_sql(statement), values).fetchall()
    check_written(table, statement, due, written)
    return int(written)


def _tidy(connection: Connection, statement: str, table: str, **values: int) -> None:
    """Does the same to what other runs left; if it fails, the log says so and the run goes on."""
    try:
        with database_errors("tidy up the ledger"), connection.transaction():
            _write(connection, statement, table, values)
    except DatabaseRefused as trouble:
        log.warning("%s", trouble)


def _delete(connection: Connection, run_id: str) -> None:
    """Deletes the entry of a run, if it has one, with its issues and held changes."""
    is_known = has_run(connection, run_id)
    deleted = connection.execute(read_sql("delete_run"), {"run_id": run_id}).rowcount
    check_written("features.pipeline_runs", "delete", int(is_known), deleted)
    counted = connection.execute(read_sql("count_kept_rows"), {"run_id": run_id})
    ((issues, changes),) = counted.fetchall()
    check_written("features.data_issues", "delete", issues, 0)
    check_written("features.held_changes", "delete", changes, 0)


def forget_old_runs(connection: Connection, keep_days: int) -> None:
    """Removes runs that ended longer ago, and issues that were closed longer ago.

    The last load stays, and so do the runs that open issues name.
    """
    _tidy(connection, "delete_old_issues", "features.data_issues", keep_days=keep_days)
    _tidy(connection, "delete_old_runs", "features.pipeline_runs", keep_days=keep_days)
