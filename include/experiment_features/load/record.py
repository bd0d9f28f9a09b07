"""Enters what a run found and did in the run ledger."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime

from psycopg.types.json import Jsonb

from experiment_features.contract import TABLES
from experiment_features.errors import DatabaseRefused, DropRejected
from experiment_features.load.database import (
    TIMEOUT_SECONDS,
    Connection,
    load_transaction,
)
from experiment_features.load.entries import Ending, forget_old_runs, write_entry
from experiment_features.load.issues import (
    IssueChanges,
    close_issues,
    compare_issues,
    copy_issues,
    merge_issues,
)
from experiment_features.load.ledger import entry_id, find_last_load
from experiment_features.load.part_store import entered
from experiment_features.run import COMPUTATION, Extracted, Result, Run, Transformed, Validated
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)


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
    write_entry(connection, run, entry)
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
