"""The plan of a dry run: what loading its drop would do to the database."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from psycopg import sql

from experiment_features.definitions import USER_FEATURES
from experiment_features.errors import LoadHeld
from experiment_features.load.database import (
    TIMEOUT_SECONDS,
    Connection,
    database_errors,
    read_sql,
    set_options,
)
from experiment_features.load.feature_changes import KEYS, as_json, changes_of, pair_columns
from experiment_features.load.guard import check_volume, notice_unit
from experiment_features.load.ledger import find_last_load
from experiment_features.load.merge import Changes, compare_features, statement_parts
from experiment_features.load.record import computed
from experiment_features.run import DRY_RUN, Extracted, Result, Run, Transformed
from experiment_features.workspace import Workspace

LARGEST = 10
"""How many changes a plan shows."""


class FeatureChange(NamedTuple):
    """One feature of a user that a load would change."""

    user_id: int
    feature: str
    before: Any
    """None for a new user."""
    after: Any
    """None for a user who would be deleted."""


@dataclass(frozen=True)
class Plan:
    """What a load would do."""

    changes: Mapping[str, Changes]
    """Rows per relation."""
    largest_changes: Sequence[FeatureChange]
    """In the order of feature_changes.KEYS."""
    held: LoadHeld | None
    """What the volume guard would say."""

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "changes": {relation: asdict(change) for relation, change in self.changes.items()},
            "largest_changes": [change._asdict() for change in self.largest_changes],
            "held": str(self.held) if self.held else None,
        }


def plan_load(
    connection: Connection,
    workspace: Workspace,
    run: Run,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> tuple[Result, Plan]:
    """What loading the workspace would do to the database, which is left as it is.

    Compares as a load does, but in a transaction that is rolled back, and without the load lock, so
    that no load has to wait.

    Args:
        connection: of a user with the role features_writer, not in a transaction.
        workspace: of a run whose transform stage is done.
        run: the run that would load it.
        timeout_seconds: how long a statement may take.

    Raises:
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    doing = "compare the drop with the database"
    transformed = workspace.found(Transformed)
    with database_errors(doing, connection=connection), connection.transaction(force_rollback=True):
        connection.execute("set transaction isolation level repeatable read")
        set_options(connection, run.run_id, timeout_seconds=timeout_seconds, wait_seconds=60)
        last = find_last_load(connection)
        changes = compare_features(connection, workspace)
        largest = connection.execute(_largest_changes(), {"rows": LARGEST}).fetchall()
    source = workspace.found(Extracted).source
    result = computed(workspace, run, DRY_RUN)
    result = replace(
        result,
        seconds=workspace.seconds(),
        notices=[*result.notices, *notice_unit(last, transformed)],
        **asdict(changes[USER_FEATURES]),
    )
    plan = Plan(
        {relation.name: change for relation, change in changes.items()},
        [FeatureChange(*row) for row in largest],
        check_volume(last, run, source, transformed, changes),
    )
    return result, plan


def _largest_changes() -> sql.Composed:
    """The query for the largest changes."""
    pairs = read_sql("pair_staged").format(
        **statement_parts(USER_FEATURES), pair=pair_columns(USER_FEATURES)
    )
    return read_sql("select_largest_changes").format(
        before=as_json(USER_FEATURES, "before"),
        after=as_json(USER_FEATURES, "after"),
        changes=changes_of(USER_FEATURES, pairs),
        keys=sql.SQL(", ").join(KEYS),
    )
