"""Computes the features of definitions.py, per user and per compound, from the valid rows."""

import logging
import platform

import narwhals as nw
import pyarrow.parquet as pq

from experiment_features.contract import COMPOUNDS, USER_EXPERIMENTS, USERS
from experiment_features.definitions import (
    COMPOUND_FEATURES,
    DEFINITION_VERSION,
    USER_FEATURES,
    relations_at,
)
from experiment_features.digest import digest_of
from experiment_features.engines.engine import Engine, Frame
from experiment_features.features.averages import HIGH, PARTS, Totals, write_averages
from experiment_features.run import Extracted, Transformed
from experiment_features.store.layers import Layers, valid_rows
from experiment_features.store.parts import PartStore
from experiment_features.version import find_commit, find_lock
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)

_COLUMNS = {
    USERS: ("user_id", "name"),
    COMPOUNDS: ("compound_id", "compound_name"),
    USER_EXPERIMENTS: ("user_id", "experiment_compound_ids", "experiment_run_time"),
}
"""The columns that the features are computed from."""

_SUMS = ("timed_experiments", "high", "low", "parts", "compounds")
"""What the averages are divided from: see averages.write_averages."""


def transform(workspace: Workspace, store: PartStore, engine: Engine) -> Transformed:
    """Computes the features of a run and writes them to the workspace.

    Grain: valid user, valid compound; columns: those of definitions.USER_FEATURES and
    COMPOUND_FEATURES.

    Args:
        workspace: of a run whose validate stage is done.
        store: has its parts.
        engine: what to compute on.

    Raises:
        PartGone: a part has been removed, or is damaged.
    """
    extracted = workspace.found(Extracted)
    with workspace.stage(Transformed) as stage:
        store.refuse_damaged(extracted.parts)
        layers = Layers(extracted.layers, store)
        users, compounds, experiments = (
            valid_rows(
                layers.rows(table, engine).select("position", *columns),
                workspace.rejected(table.name),
                engine,
            )
            for table, columns in _COLUMNS.items()
        )
        # Stored, because it is used three times.
        uses = engine.persist(_uses(experiments), workspace.scratch / "compound_uses.parquet")
        log.info("counted the uses of compounds")
        sums = workspace.scratch / "user_sums.parquet"
        engine.write(_user_sums(users, compounds, experiments, uses, engine), sums)
        totals = write_averages(sums, workspace.features(USER_FEATURES.name))
        of_compounds = _compound_features(compounds, uses).select(*COMPOUND_FEATURES.columns)
        engine.write(of_compounds, workspace.features(COMPOUND_FEATURES.name))
        return stage.finish(_found(workspace, totals, engine))


def _uses(experiments: Frame) -> Frame:
    """Grain: user and compound; columns: user_id, compound_id, experiments (how many used it).

    Lists contain no duplicates (reading/sql/), so a compound counts once per experiment.
    """
    return (
        experiments.select("user_id", compound_id="experiment_compound_ids")
        .explode("compound_id")
        .group_by("user_id", "compound_id")
        .agg(experiments=nw.len())
    )


def _user_sums(
    users: Frame, compounds: Frame, experiments: Frame, uses: Frame, engine: Engine
) -> Frame:
    """Grain: user; columns: as averages.write_averages takes them."""
    names = compounds.select(
        most_common_compound_id="compound_id", most_common_compound_name="compound_name"
    )
    return (
        users.select("user_id", user_name="name")
        .join(_experiment_sums(experiments), on="user_id", how="left")
        .join(_most_common_compounds(uses, engine), on="user_id", how="left")
        .join(names, on="most_common_compound_id", how="left")
        .with_columns(nw.col("total_experiments", *_SUMS).fill_null(0))
    )


def _experiment_sums(experiments: Frame) -> Frame:
    """Grain: user with experiments; columns: total_experiments and _SUMS.

    Unlike floating-point numbers, whole ones give the same sum in any order and on any engine.
    """
    run_time = nw.col("experiment_run_time")
    whole = run_time.floor()
    high = (run_time * (1 / HIGH)).floor()
    summed = ("high", "low", "parts", "compounds")
    return (
        experiments.select(
            "user_id",
            "experiment_run_time",
            high=high.cast(nw.Int64),
            low=(whole - high * HIGH).cast(nw.Int64),
            parts=_parts(run_time, whole).cast(nw.Int64),
            compounds=nw.col("experiment_compound_ids").list.len().cast(nw.Int64),
        )
        .group_by("user_id")
        .agg(
            nw.col("compounds").count().alias("total_experiments"),
            nw.col("experiment_run_time").count().alias("timed_experiments"),
            *(nw.col(name).sum() for name in summed),
        )
        .with_columns(nw.col(*summed).cast(nw.Int64))  # DuckDB adds up in 128 bits
    )


def _parts(run_time: nw.Expr, whole: nw.Expr) -> nw.Expr:
    """The fraction of a run time, in parts, rounded half up to nine decimals.

    To six or three where doubles are further apart than that, so that 999999999999.99
    counts as it is written, and not as the double nearest to it.
    """

    def rounded(places: int) -> nw.Expr:
        scale: int = 10**places
        return ((run_time - whole) * scale + 0.5).floor() * (PARTS // scale)

    of_greater = nw.when(run_time < 2**33).then(rounded(6)).otherwise(rounded(3))
    parts: nw.Expr = nw.when(run_time < 2**23).then(rounded(9)).otherwise(of_greater)
    return parts


def _most_common_compounds(uses: Frame, engine: Engine) -> Frame:
    """Grain: user with experiments; columns: the most common compounds, the lowest id chosen."""
    most = uses.group_by("user_id").agg(
        most_common_compound_experiments=nw.col("experiments").max()
    )
    tied = (
        uses.join(most, on="user_id")
        .filter(nw.col("experiments") == nw.col("most_common_compound_experiments"))
        .select("user_id", most_common_compound_ids="compound_id")
    )
    ids = engine.gather(tied, "user_id", "most_common_compound_ids")
    chosen = ids.with_columns(
        most_common_compound_id=nw.col("most_common_compound_ids").list.get(0)
    )
    return chosen.join(most, on="user_id")


def _compound_features(compounds: Frame, uses: Frame) -> Frame:
    totals = uses.group_by("compound_id").agg(
        total_experiments=nw.col("experiments").sum(),
        total_users=nw.col("user_id").count(),
    )
    return (
        compounds.select("compound_id", "compound_name")
        .join(totals, on="compound_id", how="left")
        .with_columns(nw.col("total_experiments", "total_users").fill_null(0).cast(nw.Int64))
    )


def _found(workspace: Workspace, totals: Totals, engine: Engine) -> Transformed:
    users = pq.read_metadata(workspace.features(USER_FEATURES.name)).num_rows
    return Transformed(
        users=users,
        experiments=totals.experiments,
        compounds=pq.read_metadata(workspace.features(COMPOUND_FEATURES.name)).num_rows,
        average_experiments_per_user=totals.experiments / users if users else None,
        engine=engine.name,
        average_run_time=totals.average_run_time,
        features_sha256=digest_features(workspace, DEFINITION_VERSION),
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
