"""The features as expressions on valid rows, for every engine; the averages are divided later.

Frames of experiments have the columns user_id, experiment_compound_ids and experiment_run_time;
those of *uses* have user_id, compound_id and experiments (how many of the user's contain it).
"""

import narwhals as nw

from experiment_features.contract import COMPOUNDS, USER_EXPERIMENTS, USERS
from experiment_features.engines.engine import Engine, Frame
from experiment_features.features.averages import HIGH, PARTS

COLUMNS = {
    USERS: ("user_id", "name"),
    COMPOUNDS: ("compound_id", "compound_name"),
    USER_EXPERIMENTS: ("user_id", "experiment_compound_ids", "experiment_run_time"),
}
"""The columns that the features are computed from."""

_SUMS = ("timed_experiments", "high", "low", "parts", "compounds")
"""What the averages are divided from: see averages.write_averages."""


def count_uses(experiments: Frame) -> Frame:
    """Grain: user and compound; columns: those of uses.

    Lists contain no duplicates (reading/sql/), so a compound counts once per experiment.
    """
    return (
        experiments.select("user_id", compound_id="experiment_compound_ids")
        .explode("compound_id")
        .group_by("user_id", "compound_id")
        .agg(experiments=nw.len())
        .with_columns(nw.col("experiments").cast(nw.Int64))
    )


def sum_users(users: Frame, compounds: Frame, sums: Frame, most_common: Frame) -> Frame:
    """Grain: user; columns: as averages.write_averages takes them.

    Args:
        users: valid ones.
        compounds: valid ones.
        sums: see sum_experiments.
        most_common: see most_common_compounds.
    """
    names = compounds.select(
        most_common_compound_id="compound_id", most_common_compound_name="compound_name"
    )
    return (
        users.select("user_id", user_name="name")
        .join(sums, on="user_id", how="left")
        .join(most_common, on="user_id", how="left")
        .join(names, on="most_common_compound_id", how="left")
        .with_columns(nw.col("total_experiments", *_SUMS).fill_null(0))
    )


def sum_experiments(experiments: Frame) -> Frame:
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


def most_common_compounds(uses: Frame, engine: Engine) -> Frame:
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


def total_compounds(compounds: Frame, changes: Frame, known: Frame | None) -> Frame:
    """Grain: compound; columns: those of definitions.COMPOUND_FEATURES.

    Args:
        compounds: valid ones.
        changes: grain: user and compound; columns: by how many the user's experiments with it, and
            its users, have changed: compound_id, experiments, users.
        known: what there was before: compound_id, total_experiments, total_users; None for nothing.
    """
    totals = changes.select("compound_id", total_experiments="experiments", total_users="users")
    if known is not None:
        totals = nw.concat([totals, known.select(*totals.collect_schema().names())])
    totals = totals.group_by("compound_id").agg(nw.col("total_experiments", "total_users").sum())
    return (
        compounds.select("compound_id", "compound_name")
        .join(totals, on="compound_id", how="left")
        .with_columns(nw.col("total_experiments", "total_users").fill_null(0).cast(nw.Int64))
    )
