"""Computes the features of definitions.py, per user and per compound, from the valid rows."""

import logging
import platform
from collections.abc import Mapping
from pathlib import Path

import narwhals as nw

from experiment_features.contract import COMPOUNDS, USERS
from experiment_features.definitions import (
    COMPOUND_FEATURES,
    DEFINITION_VERSION,
    RELATIONS,
    USER_FEATURES,
    relations_at,
)
from experiment_features.digest import digest_of
from experiment_features.engines.engine import Engine, Frame
from experiment_features.features.averages import PARTS, count_totals, write_averages
from experiment_features.features.changes import Changes
from experiment_features.features.counts import count_by_sorting
from experiment_features.features.expressions import (
    COLUMNS,
    count_uses,
    most_common_compounds,
    sum_experiments,
    sum_users,
    total_compounds,
)
from experiment_features.run import Extracted, Transformed, Validated
from experiment_features.store.layers import Layers, count_rows, valid_rows
from experiment_features.store.parts import PartStore
from experiment_features.version import find_commit, find_lock
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)


def transform(workspace: Workspace, store: PartStore, engine: Engine) -> Transformed:
    """Computes the features of a run and writes them to the workspace.

    Grain: valid user, valid compound; columns: those of definitions.USER_FEATURES and
    COMPOUND_FEATURES. Of a delta on top of a load that is known, only those that may have changed:
    ``workspace.computed(relation)`` has their ids.

    Args:
        workspace: of a run whose validate stage is done.
        store: has its parts.
        engine: what to compute on.

    Raises:
        PartGone: a part has been removed, or is damaged.
    """
    extracted = workspace.found(Extracted)
    before = workspace.found(Validated).totals_before
    with workspace.stage(Transformed) as stage:
        store.refuse_damaged(extracted.parts, workspace.seen_parts)
        workspace.fresh_folder(workspace.folder / "computed")
        layers = Layers(extracted.layers, store)
        users, compounds, experiments = (
            valid_rows(
                layers.rows(table, engine).select("position", *columns),
                workspace.rejected(table.name),
                engine,
            )
            for table, columns in COLUMNS.items()
        )
        if before is None:
            sums = _compute_all(users, compounds, experiments, workspace, engine)
            totals, counts = count_totals(sums), _count_features(workspace)
        else:
            changes = Changes(layers, workspace, engine)
            _compute_changed(users, compounds, experiments, changes, workspace, engine)
            totals = changes.totals(before)
            counts = {
                rows: _count(frame, workspace.scratch / f"all_{rows}.parquet", engine)
                for rows, frame in (("users", users), ("compounds", compounds))
            }
        return stage.finish(_found(workspace, totals, counts, engine, is_whole=before is None))


def _compute_all(
    users: Frame, compounds: Frame, experiments: Frame, workspace: Workspace, engine: Engine
) -> Path:
    """Writes the features of all users and compounds; returns the users' sums."""
    sums, uses = _compute_users(users, compounds, experiments, workspace, engine)
    new_uses = uses.with_columns(users=nw.lit(1))
    _compute_compounds(compounds, new_uses, None, workspace, engine)
    return sums


def _compute_changed(
    users: Frame,
    compounds: Frame,
    experiments: Frame,
    changes: Changes,
    workspace: Workspace,
    engine: Engine,
) -> None:
    """Writes the features of the users and compounds for which a delta has changed them."""
    ids = changes.users()
    of_users = engine.among(users, ids, USERS.key)
    # Stored, because finding them means looking through all experiments.
    of_experiments = engine.persist(
        engine.among(experiments, ids, USERS.key), workspace.scratch / "experiments.parquet"
    )
    _, uses = _compute_users(of_users, compounds, of_experiments, workspace, engine)
    new_uses = changes.of_uses(uses)
    of_compounds = engine.among(compounds, changes.compounds(new_uses), COMPOUNDS.key)
    known = engine.read(workspace.known("compound_totals"))
    _compute_compounds(of_compounds, new_uses, known, workspace, engine)


def _compute_users(
    users: Frame, compounds: Frame, experiments: Frame, workspace: Workspace, engine: Engine
) -> tuple[Path, Frame]:
    """Writes the features of users; returns their sums, and their uses of compounds."""
    of_experiments, uses, most_common = _count_experiments(experiments, workspace, engine)
    log.info("counted the uses of compounds")
    sums = workspace.scratch / "user_sums.parquet"
    of_users = sum_users(users, compounds, of_experiments, most_common)
    engine.write(of_users.sort(USERS.key), sums)  # a load in another order takes twice as long
    write_averages(sums, workspace.features(USER_FEATURES.name))
    return sums, uses


def _count_experiments(
    experiments: Frame, workspace: Workspace, engine: Engine
) -> tuple[Frame, Frame, Frame]:
    """The sums of users, their uses of compounds, and the most common ones."""
    sums = sum_experiments(experiments)
    batches = engine.batches(experiments.select("user_id", "experiment_compound_ids"))
    if batches is not None:
        file = workspace.scratch / "experiment_sums.parquet"
        sums = engine.write(sums, file)
        counted = count_by_sorting(batches, file, workspace.scratch / "counted")
        if counted:
            return sums, engine.read(counted.uses), engine.read(counted.most_common)
    # Stored, because it is used three times.
    uses = engine.persist(count_uses(experiments), workspace.scratch / "compound_uses.parquet")
    return sums, uses, most_common_compounds(uses, engine)


def _compute_compounds(
    compounds: Frame, new_uses: Frame, known: Frame | None, workspace: Workspace, engine: Engine
) -> None:
    """Writes the features of compounds: see expressions.total_compounds."""
    features = total_compounds(compounds, new_uses, known).select(*COMPOUND_FEATURES.columns)
    engine.write(features, workspace.features(COMPOUND_FEATURES.name))


def _count_features(workspace: Workspace) -> dict[str, int]:
    return {relation.table: count_rows(workspace.features(relation.name)) for relation in RELATIONS}


def _count(rows: Frame, target: Path, engine: Engine) -> int:
    """The number of rows; they are written to a file."""
    engine.write(rows.select("position"), target)
    return count_rows(target)


def _found(
    workspace: Workspace,
    totals: Mapping[str, int],
    counts: Mapping[str, int],
    engine: Engine,
    *,
    is_whole: bool,
) -> Transformed:
    users, experiments = counts["users"], totals["experiments"]
    timed = totals["timed_experiments"]
    return Transformed(
        users=users,
        experiments=experiments,
        compounds=counts["compounds"],
        average_experiments_per_user=experiments / users if users else None,
        engine=engine.name,
        average_run_time=totals["run_time_parts"] / (PARTS * timed) if timed else None,
        totals=totals,
        is_whole=is_whole,
        features_sha256=digest_features(workspace, DEFINITION_VERSION) if is_whole else None,
        code_version=find_commit(),
        lock_sha256=find_lock(),
        python_version=platform.python_version(),
        engine_version=engine.version,
    )


def digest_features(workspace: Workspace, version: int) -> str:
    """The digest of the features that a version had (definitions.relations_at), as computed now."""
    return digest_of(
        (relation.name, relation.columns, workspace.features(relation.name))
        for relation in relations_at(version)
    )
