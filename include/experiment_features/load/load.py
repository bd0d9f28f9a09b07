"""Loads the features of a run in place of those of the last, in one transaction.

Only rows that differ are written, so readers are never blocked, an identical load changes nothing,
and whatever users add to the tables (views, grants, foreign keys) stays.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace

from experiment_features.definitions import (
    DEFINITION_VERSION,
    RELATIONS,
    USER_FEATURES,
    Relation,
)
from experiment_features.errors import DatabaseRefused, DropRefused, LoadHeld
from experiment_features.load.database import (
    LOCK_WAIT_SECONDS,
    TIMEOUT_SECONDS,
    Connection,
    check_written,
    load_transaction,
    read_sql,
)
from experiment_features.load.digests import features_after, issues_after
from experiment_features.load.entries import Ending, forget_old_runs
from experiment_features.load.guard import check_volume, notice_unit
from experiment_features.load.ledger import Entry, entry_id, find_committed, find_last_load
from experiment_features.load.merge import (
    Changes,
    check_merged,
    compare_features,
    count_users,
    merge,
    record_changes,
    statement_parts,
)
from experiment_features.load.part_store import check_parts
from experiment_features.load.record import (
    compare_with_issues,
    computation_of,
    computed,
    enter_run,
)
from experiment_features.load.state import hash_changed, hash_issues, is_as_left, record_state
from experiment_features.run import Extracted, Result, Run, Transformed
from experiment_features.store.parts import PartStore
from experiment_features.visible_text import escape
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)


def load(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    store: PartStore,
    keep_days: int,
    timeout_seconds: float = TIMEOUT_SECONDS,
    lock_wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Result:
    """Writes the features of the workspace to the database, and the run to the ledger.

    One transaction: stage the rows with COPY, compare them all at once, close the periods that end,
    then update, delete and insert rows, count the users by number of experiments, and remove old
    runs. Loads wait for each other.

    A load that would remove too much (guard.py) is held: it changes only the ledger, which also
    lists what would have been removed.

    A committed load can be run again (its acknowledgement was lost, or its task was cleared): its
    entry and its result stay as they were. Only if it is the last one and rows have been changed
    by hand are they corrected, as a load of its own.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        workspace: of a run whose transform stage is done.
        run: the run to record.
        store: has its parts.
        keep_days: how long the ledger keeps runs and their issues.
        timeout_seconds: how long a statement may take, or the session be idle.
        lock_wait_seconds: how long to wait for another load, or any other lock.

    Raises:
        LoadHeld: it would remove more than the run allows.
        DatabaseUnavailable: the database is down, or another load holds the lock for too long.
        DatabaseRefused: the schema or a privilege is missing, or a row violates a constraint.
        PartGone: a part of the run has been removed from the store.
    """
    transaction = load_transaction(
        connection,
        f"load run {run.run_id}",
        name=run.run_id,
        timeout_seconds=timeout_seconds,
        lock_wait_seconds=lock_wait_seconds,
    )
    with workspace.stage(Result) as stage:
        with transaction:
            outcome = _load(connection, workspace, run, store)
            forget_old_runs(connection, keep_days)
        if isinstance(outcome, LoadHeld):  # only now is it recorded for good
            raise outcome
        result = stage.finish(outcome)
    log.info(
        "loaded run %s: %s users inserted, %s updated, %s deleted, %s unchanged",
        escape(result.run_id),
        *(getattr(result, name) for name in ("inserted", "updated", "deleted", "unchanged")),
    )
    for notice in result.notices:
        log.warning("%s", notice)
    return replace(result, seconds=workspace.seconds())


def _load(
    connection: Connection, workspace: Workspace, run: Run, store: PartStore
) -> Result | LoadHeld:
    """Writes features and run, unless the load is held or repeats one that nothing has undone."""
    ((loaded_at,),) = connection.execute(read_sql("select_load_time")).fetchall()
    last, committed = find_last_load(connection), find_committed(connection, run)
    is_committed = committed is not None and committed.is_load_of(workspace)
    if committed and is_committed and last != committed:
        log.warning(
            "run %s had loaded this drop; another has been loaded since", escape(run.run_id)
        )
        return committed.result
    if not is_committed:
        _refuse_other_base(last, workspace.found(Extracted))
    transformed = workspace.found(Transformed)
    result = computed(workspace, run, "loaded")
    result = replace(
        result,
        run_id=entry_id(connection, run),
        notices=[*result.notices, *notice_unit(last, transformed)],
    )
    if last and not transformed.is_whole:
        _refuse_other_state(connection, last)
    are_known = _are_known(connection, last, transformed)
    is_whole = transformed.is_whole and not are_known
    changes = compare_features(connection, workspace, are_known=are_known)
    held = check_volume(last, run, str(result.source), transformed, changes)
    if held:
        _record_held(connection, workspace, run, result, held, changes)
        return held
    if committed and is_committed and not any(change.written for change in changes.values()):
        return committed.result
    of_issues = compare_with_issues(connection, workspace, result.run_id)
    computation = computation_of(workspace)
    if committed and is_committed:  # changed rows do not tell what they were
        computation = committed.computation
    elif last and not transformed.is_whole:
        computation |= _digests_after(connection, last)
    state_hash = None
    hash_changing = None if is_whole else hash_issues if are_known else hash_changed
    if last and last.state_hash is not None and hash_changing and not is_committed:
        state_hash = last.state_hash - hash_changing(connection)
    for relation in RELATIONS:
        merge(connection, relation, changes[relation], run_id=result.run_id, loaded_at=loaded_at)
    count_users(connection)
    healed = of_issues.healed if of_issues else 0
    result = replace(result, healed=healed, **asdict(changes[USER_FEATURES]))
    enter_run(
        connection,
        workspace,
        run,
        result,
        average_run_time=transformed.average_run_time,
        totals=transformed.totals,
        computation=computation,
        loaded_at=loaded_at,
        changes=of_issues,
    )
    for relation in RELATIONS:
        record_changes(connection, relation, changes[relation], result.run_id)
        check_merged(
            connection,
            relation,
            run_id=result.run_id,
            loaded_at=loaded_at,
            is_whole=is_whole,
        )
    check_parts(connection, store, workspace.found(Extracted))
    if state_hash is not None and hash_changing:
        state_hash += hash_changing(connection)
    record_state(connection, result.run_id, state_hash)
    return result


def _are_known(connection: Connection, last: Entry | None, transformed: Transformed) -> bool:
    """Whether all features were computed and are those of the last load, as it has left them.

    Then no row needs to be compared, which takes longer than to hash what is there.
    """
    return (
        last is not None
        and last.definition_version == DEFINITION_VERSION
        and transformed.features_sha256 is not None
        and transformed.features_sha256 == last.computation["features_sha256"]
        and is_as_left(connection, last)
    )


def _digests_after(connection: Connection, last: Entry) -> dict[str, str]:
    """The digests after a load that changes only some rows of the last one."""
    features, issues = (str(last.computation[f"{name}_sha256"]) for name in ("features", "issues"))
    return {
        "features_sha256": features_after(connection, features),
        "issues_sha256": issues_after(connection, issues),
    }


def _refuse_other_state(connection: Connection, last: Entry) -> None:
    """Refuses what changes only some rows of the last load if that is not as it was left."""
    if not is_as_left(connection, last):
        raise DatabaseRefused(
            f"features or issues are not as run {last.result.run_id} left them: they were changed "
            "by hand since the delta was read. Run it again from the start"
        )


def _refuse_other_base(last: Entry | None, extracted: Extracted) -> None:
    """Refuses a delta if another drop has been loaded since it was read."""
    expected, found = extracted.last_run_id, last and last.result.run_id
    if expected is not None and expected != found:
        raise DropRefused(
            f"the delta {extracted.source} was read to be built on what run {expected} had loaded, "
            f"and since then run {found} has loaded another drop: run it again from the start"
        )


def _record_held(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    result: Result,
    held: LoadHeld,
    changes: Mapping[Relation, Changes],
) -> None:
    """Enters a held run, and the users and compounds that it would have removed."""
    average = workspace.found(Transformed).average_run_time
    result = replace(result, status=held.status, inserted=0, updated=0, deleted=0, unchanged=0)
    ending = Ending.of(Result.stage, held)
    enter_run(connection, workspace, run, result, ending, average_run_time=average)
    for relation in RELATIONS:
        ((written,),) = connection.execute(
            read_sql("insert_held_changes").format(**statement_parts(relation)),
            {"run_id": result.run_id, "table_name": relation.table},
        ).fetchall()
        check_written("features.held_changes", "insert", changes[relation].deleted, written)
