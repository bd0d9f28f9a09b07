"""What a delta changes in the experiments that count, and so in users, compounds and totals.

All features are computed again of the users of whom an experiment, the name or the status changed,
or the name of a compound; the totals of compounds and of the run are changed by the difference.
"""

from collections.abc import Mapping
from pathlib import Path

import narwhals as nw

from experiment_features.contract import COMPOUNDS, USER_EXPERIMENTS, USERS
from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES, Relation
from experiment_features.engines.engine import Engine, Frame
from experiment_features.features.averages import SUMMED, count_totals
from experiment_features.features.expressions import COLUMNS, count_uses, sum_experiments
from experiment_features.store.layers import Layers, count_rows, valid_rows
from experiment_features.workspace import Workspace


class Changes:
    """The experiments that count since a delta, and those that no longer do.

    One that has changed is among both.
    """

    def __init__(self, layers: Layers, workspace: Workspace, engine: Engine) -> None:
        """Reads the experiments that were judged again, as they are and as they were.

        Args:
            layers: the delta's is the last.
            workspace: of a run whose validate stage judged only what may have changed.
            engine: what to compute on.
        """
        self._workspace, self._engine = workspace, engine
        table = USER_EXPERIMENTS
        ids = engine.read(workspace.judged(table.name))
        was_rejected = engine.read(workspace.known(table.name)).filter(nw.col("is_error"))
        was = engine.among(layers.below(table, engine), ids, table.key)
        was = engine.without(was, was_rejected, "position")
        now = valid_rows(self._find_judged(layers, ids), workspace.rejected(table.name), engine)
        self._new, self._gone = self._persist(now, "new"), self._persist(was, "gone")

    def _find_judged(self, layers: Layers, ids: Frame) -> Frame:
        table = USER_EXPERIMENTS
        own = layers.own(table, self._engine)
        judged, touched = self._workspace.judged(table.name), self._workspace.touched(table.name)
        if own is not None and count_rows(judged) == count_rows(touched):
            return own  # no others were judged, so all others need not be read
        return self._engine.among(layers.rows(table, self._engine), ids, table.key)

    def _persist(self, experiments: Frame, name: str) -> Frame:
        found = experiments.select(*COLUMNS[USER_EXPERIMENTS])
        return self._engine.persist(found, self._scratch(f"{name}_experiments"))

    def users(self) -> Frame:
        """The ids of the users whose features may have changed; also writes them."""
        touched = self._engine.read(self._workspace.touched(USERS.name))
        named = self._engine.read(self._workspace.known("users_of_compounds"))
        return self._write_ids(USER_FEATURES, touched, named, self._new, self._gone)

    def of_uses(self, uses: Frame) -> Frame:
        """By how many the experiments of a user with a compound have changed.

        Grain: user and compound; columns: compound_id, experiments, and users, which is 1 if the
        user had not used the compound before, -1 if it no longer does, else 0.

        Args:
            uses: those of the users, as they are now.
        """
        is_gone = {"experiments": -nw.col("experiments")}
        counted = [count_uses(self._new), count_uses(self._gone).with_columns(**is_gone)]
        changed = (
            nw.concat([frame.select("user_id", "compound_id", "experiments") for frame in counted])
            .group_by("user_id", "compound_id")
            .agg(nw.col("experiments").sum())
            .with_columns(nw.col("experiments").cast(nw.Int64))
        )
        now = nw.col("now").fill_null(0)
        found = changed.join(
            uses.rename({"experiments": "now"}), on=["user_id", "compound_id"], how="left"
        ).select(
            "compound_id",
            "experiments",
            users=(now > 0).cast(nw.Int64) - (now > nw.col("experiments")).cast(nw.Int64),
        )
        return self._engine.persist(found, self._scratch("changed_uses"))

    def compounds(self, uses: Frame) -> Frame:
        """The ids of the compounds whose features may have changed; also writes them.

        Args:
            uses: how they have changed: see of_uses.
        """
        touched = self._engine.read(self._workspace.touched(COMPOUNDS.name))
        return self._write_ids(COMPOUND_FEATURES, touched, uses)

    def totals(self, before: Mapping[str, int]) -> dict[str, int]:
        """What all users have together now: see averages.count_totals."""
        gone = sum_experiments(self._gone).with_columns(-nw.col(*SUMMED))
        sums = self._scratch("changed_sums")
        self._engine.write(nw.concat([sum_experiments(self._new), gone]), sums)
        changes = count_totals(sums)
        return {name: total + changes[name] for name, total in before.items()}

    def _write_ids(self, relation: Relation, *frames: Frame) -> Frame:
        ids = nw.concat([frame.select(relation.key) for frame in frames]).unique()
        return self._engine.write(ids, self._workspace.computed(relation.name))

    def _scratch(self, name: str) -> Path:
        return self._workspace.scratch / f"{name}.parquet"
