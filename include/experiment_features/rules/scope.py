"""Which rows a run judges: all that are in force, or those that a delta can have changed.

These are the rows that it brings, the experiments of users and with compounds that become valid or
cease to be, and the users whose signup date lay in the future.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from experiment_features.contract import DELETIONS, TABLES, Column, Kind, Table
from experiment_features.engines import arrow
from experiment_features.engines.engine import Engine, Frame
from experiment_features.rules.rules import Unknown, rules_of
from experiment_features.store.before import Before
from experiment_features.store.layers import Layers, count_rows, valid_rows
from experiment_features.workspace import Workspace


class Scope:
    """The rows to judge, table by table; of all others, what is known of them still holds."""

    def __init__(
        self,
        layers: Layers,
        engine: Engine,
        workspace: Workspace,
        before: Before | None,
        today: date,
    ) -> None:
        """Writes what is known from before.

        Args:
            layers: the run's.
            engine: what to compute on.
            workspace: gets ``known(...)`` and ``judged(table)``, if not everything is judged.
            before: what is known of the rows below a delta; None to judge everything.
            today: the day of the run.
        """
        self._layers, self._engine, self._workspace = layers, engine, workspace
        self._before, self._today = before, today
        if before:
            for name, rows in before.tables().items():
                pq.write_table(rows, workspace.known(name))

    @property
    def totals(self) -> Mapping[str, int] | None:
        """The totals of the load below, to which those of a delta are added; None for a whole."""
        return self._before.totals if self._before else None

    def touch(self) -> None:
        """Writes ``workspace.touched(table)`` for every table of which a delta has files."""
        for table in TABLES:
            found = [
                self._layers.touched(of_table, self._engine)
                for of_table in (table, DELETIONS[table.name])
            ]
            self._write_ids(table, found, self._workspace.touched(table.name))

    def rows(self, table: Table) -> Frame | None:
        """The rows to judge, with their positions; None if there are none.

        Those to which a table refers have been checked before it.
        """
        if self._before is None or table not in TABLES:
            return self._layers.rows(table, self._engine)
        carried = self._carried(table)
        touched = self._read(self._workspace.touched(table.name))
        self._write_ids(table, [carried, touched], self._workspace.judged(table.name))
        kept = self._layers.kept(table, self._engine)
        frames = [self._layers.own(table, self._engine)]
        if carried is not None and kept is not None:
            frames.append(self._engine.among(kept, carried, table.key))
        rows = [frame for frame in frames if frame is not None]
        return self._engine.concat(rows) if rows else None

    def still_rejected(self, table: Table) -> Frame | None:
        """The rows, by position, that are rejected as before and not judged again."""
        known = self._still_known(table)
        return None if known is None else known.filter(nw.col("is_error")).select("position")

    def still_doubted(self) -> int:
        """How many warnings there are of rows that are not judged again."""
        count = 0
        for table in TABLES:
            known = self._still_known(table)
            if known is not None:
                target = self._workspace.scratch / f"doubted_{table}.parquet"
                self._engine.write(known.filter(~nw.col("is_error")), target)
                count += count_rows(target)
        return count

    def _still_known(self, table: Table) -> Frame | None:
        """The issues of rows that are not judged again; columns: see Before.issues."""
        if self._before is None or table not in TABLES:
            return None
        known = self._engine.read(self._workspace.known(table.name))
        judged = self._read(self._workspace.judged(table.name))
        return known if judged is None else self._engine.without(known, judged, table.key)

    def _carried(self, table: Table) -> Frame | None:
        """The ids of rows that the delta does not bring, but that may be judged otherwise now."""
        rows = self._layers.kept(table, self._engine)
        if rows is None or self._before is None:
            return None
        found = []
        earlier, later = sorted([self._today, self._before.today])
        for rule in rules_of(table):
            if rule.depends_on_today and earlier != later and isinstance(rule.condition, nw.Expr):
                then = rows.with_columns(today=nw.lit(earlier))
                found.append(then.filter(rule.condition).select(table.key))
            if isinstance(rule.condition, Unknown):
                changed = self._changed(rule.condition.table)
                if changed is not None:
                    key = rule.condition.table.key
                    named = references(rows, table.column(rule.column), key, table.key)
                    found.append(self._engine.among(named, changed, key).select(table.key))
        target = self._workspace.scratch / f"carried_{table}.parquet"
        return self._write_ids(table, found, target)

    def _changed(self, table: Table) -> Frame | None:
        """The ids of a table that have become valid or ceased to be; None if there are none."""
        target = self._workspace.scratch / f"changed_{table}.parquet"
        touched = self._read(self._workspace.touched(table.name))
        if touched is None:
            return None
        if not target.exists():
            below = self._layers.below(table, self._engine)
            known = self._engine.read(self._workspace.known(table.name))
            below = self._engine.among(below, touched, table.key).select("position", table.key)
            was = self._engine.without(below, known.filter(nw.col("is_error")), "position")
            own = self._layers.own(table, self._engine)
            changed = [was]
            if own is not None:
                now = self._valid(table, own)
                changed = [
                    self._engine.without(was, now, table.key),
                    self._engine.without(now, was, table.key),
                ]
            self._write_ids(table, changed, target)
        return self._read(target)

    def _valid(self, table: Table, rows: Frame) -> Frame:
        rows = rows.select("position", table.key)
        return valid_rows(rows, self._workspace.rejected(table.name), self._engine)

    def _read(self, file: Path) -> Frame | None:
        """The rows of a file; None if there are none."""
        return self._engine.read(file) if count_rows(file) else None

    def _write_ids(
        self, table: Table, frames: Sequence[Frame | None], target: Path
    ) -> Frame | None:
        """Writes the ids of a table that are in any of some frames; None if there are none."""
        ids = [frame.select(table.key) for frame in frames if frame is not None]
        if ids:
            self._engine.write(nw.concat(ids).unique(), target)
        else:
            none = arrow.array(np.empty(0, np.int64))
            pq.write_table(pa.Table.from_arrays([none], names=[table.key]), target)
        return self._read(target)


def references(rows: Frame, column: Column, key: str, owner: str = "position") -> Frame:
    """Grain: id that a row has in a column, or in its list; columns: ``owner`` and ``key``."""
    found = rows.select(owner, **{key: column.name}).filter(~nw.col(key).is_null())
    if column.kind is Kind.INTEGERS:
        found = found.filter(nw.col(key).list.len() > 0).explode(key)
    return found
