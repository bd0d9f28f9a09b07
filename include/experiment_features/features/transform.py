"""Computes the features of definitions.py, per user and per compound, from the valid rows."""

import logging

import narwhals as nw
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiment_features.contract import COMPOUNDS, USER_EXPERIMENTS, USERS
from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES
from experiment_features.engines.engine import Engine, Frame
from experiment_features.run import Transformed
from experiment_features.store.valid_rows import valid_rows
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)

_COLUMNS = {
    USERS: ("user_id", "name"),
    COMPOUNDS: ("compound_id", "compound_name"),
    USER_EXPERIMENTS: ("user_id", "experiment_compound_ids", "experiment_run_time"),
}
"""The columns that the features are computed from."""

RUN_TIME_PARTS = 10**9
"""Run times are rounded to nine decimals and summed as integers: unlike floating-point numbers,
these give the same sum in any order and on any engine."""


def transform(workspace: Workspace, engine: Engine) -> Transformed:
    """Computes the features of a run and writes them to the workspace.

    Grain: valid user, valid compound; columns: those of definitions.USER_FEATURES and
    COMPOUND_FEATURES.
    """
    with workspace.stage(Transformed) as stage:
        users, compounds, experiments = (
            valid_rows(
                engine.read(workspace.rows(table.name)).select("position", *columns),
                workspace.rejected(table.name),
                engine,
            )
            for table, columns in _COLUMNS.items()
        )
        # Stored, because it is used three times.
        uses = engine.persist(_uses(experiments), workspace.scratch / "compound_uses.parquet")
        log.info("counted the uses of compounds")
        features = {
            USER_FEATURES: _user_features(users, compounds, experiments, uses, engine),
            COMPOUND_FEATURES: _compound_features(compounds, uses),
        }
        for relation, frame in features.items():
            engine.write(frame.select(*relation.columns), workspace.features(relation.name))
        return stage.finish(_totals(workspace, engine))


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


def _user_features(
    users: Frame, compounds: Frame, experiments: Frame, uses: Frame, engine: Engine
) -> Frame:
    names = compounds.select(
        most_common_compound_id="compound_id", most_common_compound_name="compound_name"
    )
    return (
        users.select("user_id", user_name="name")
        .join(_experiment_features(experiments), on="user_id", how="left")
        .join(_most_common_compounds(uses, engine), on="user_id", how="left")
        .join(names, on="most_common_compound_id", how="left")
        .with_columns(nw.col("total_experiments").fill_null(0))
    )


def _experiment_features(experiments: Frame) -> Frame:
    """Grain: user with experiments; columns: total_experiments and the two averages."""
    run_time = nw.col("experiment_run_time")
    whole = run_time.floor()
    sums = (
        experiments.select(
            "user_id",
            "experiment_run_time",
            whole=whole.cast(nw.Int64),
            parts=((run_time - whole) * RUN_TIME_PARTS + 0.5).floor().cast(nw.Int64),
            compounds=nw.col("experiment_compound_ids").list.len(),
        )
        .group_by("user_id")
        .agg(
            nw.col("compounds").count().alias("total_experiments"),
            nw.col("experiment_run_time").count().alias("timed_experiments"),
            nw.col("whole").sum(),
            nw.col("parts").sum(),
            nw.col("compounds").sum(),
        )
    )
    total = {name: nw.col(name).cast(nw.Float64) for name in ("whole", "parts", "compounds")}
    timed = nw.when(nw.col("timed_experiments") > 0).then(nw.col("timed_experiments"))
    return sums.select(
        "user_id",
        "total_experiments",
        average_experiment_run_time=(total["whole"] + total["parts"] / RUN_TIME_PARTS) / timed,
        average_compounds_per_experiment=total["compounds"] / nw.col("total_experiments"),
    )


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


def _totals(workspace: Workspace, engine: Engine) -> Transformed:
    user_features = pq.ParquetFile(workspace.features(USER_FEATURES.name))
    users = user_features.metadata.num_rows
    experiments = sum(
        pc.sum(batch["total_experiments"]).as_py() or 0
        for batch in user_features.iter_batches(columns=["total_experiments"])
    )
    return Transformed(
        users=users,
        experiments=experiments,
        compounds=pq.read_metadata(workspace.features(COMPOUND_FEATURES.name)).num_rows,
        average_experiments_per_user=experiments / users if users else None,
        engine=engine.name,
    )
