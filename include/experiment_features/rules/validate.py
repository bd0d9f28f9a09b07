"""Validate: the rules of rules.py on every row; faulty rows are named, and errors rejected."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import narwhals as nw

from experiment_features.config import Settings
from experiment_features.contract import DELETIONS, TABLES, Table
from experiment_features.digest import ISSUE_COLUMNS, digest_of
from experiment_features.engines.engine import Engine, Frame
from experiment_features.errors import DropRejected
from experiment_features.rules.contradictions import refuse_contradictions
from experiment_features.rules.footers import can_skip
from experiment_features.rules.issues import BrokenRule, describe_issues
from experiment_features.rules.rules import REFERENCES, Absent, Rule, Unknown, rules_of
from experiment_features.rules.scope import Scope, references
from experiment_features.rules.shared_ids import describe_shared_ids
from experiment_features.run import Extracted, Validated
from experiment_features.store.before import Before
from experiment_features.store.layers import Layers, count_rows, valid_rows
from experiment_features.store.parts import PartStore
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)

ALWAYS_TAKEN = 10
"""So many rejected rows of a table never reject a delta, which may have only a few."""

_CHECKED_ALONE = (
    "the delta was checked by itself: only with a database (--database-url) can it be told whether "
    "what it refers to and deletes is there"
)


def validate(
    workspace: Workspace,
    store: PartStore,
    engine: Engine,
    *,
    max_rejected_percent: float,
    today: date,
    before: Before | None = None,
    allow_empty: bool = False,
    memory_limit: str = Settings.memory_limit,
) -> Validated:
    """Checks the rows in force, and writes which are rejected and all that is wrong.

    Of a delta on top of a load that is known, only the rows are checked that may be judged
    otherwise than before: see scope.py.

    Writes, if there are any, ``workspace.rejected(table)`` (grain: rejected row; column: position)
    and ``workspace.issues`` (grain: fault of a row; columns: severity, table_name, row_id,
    file_name, line_number, rule, column_name, value, message, run_id (see Layer), raw_row as JSON
    text).

    Args:
        workspace: of a run whose extract stage is done.
        store: has its parts.
        engine: what to compute on.
        max_rejected_percent: of each table's rows in the drop, from 0 to 100.
        today: the day of the run, UTC.
        before: what the load has left that a delta builds on; None to check everything.
        allow_empty: whether a delta may delete all rows of a table.
        memory_limit: what DuckDB may use to describe the issues.

    Raises:
        DropRejected: too many rows of a table are faulty; the issues are written all the same.
        DropRefused: a delta brings and deletes the same row, or leaves a table without rows.
        PartGone: a part has been removed, or is damaged.
    """
    extracted = workspace.found(Extracted)
    with workspace.stage(Validated) as stage:
        store.refuse_damaged(extracted.parts, workspace.seen_parts)
        for name in ("rejected", "touched", "known", "judged"):
            workspace.fresh_folder(workspace.folder / name)
        workspace.remove(workspace.issues)
        faults = workspace.fresh_folder(workspace.scratch / "faults")
        layers = Layers(extracted.layers, store)
        is_delta = extracted.mode == "delta"
        is_alone = is_delta and not layers.are_many  # as it is checked without a database
        scope = Scope(layers, engine, workspace, before, today)
        if is_delta:
            refuse_contradictions(layers, engine, workspace.scratch, allow_empty=allow_empty)
            scope.touch()
        checked = Checked(layers, engine, workspace, faults, scope)
        parts = {table.name: layers.paths(table) for table in TABLES}
        for table in layers.tables:
            rules = [
                rule
                for rule in rules_of(table)
                if not (is_alone and isinstance(rule.condition, REFERENCES))
                and not can_skip(rule, extracted, checked.rejected, parts)
            ]
            checked.check(table, rules, today)
            log.info("checked %s", table)
        issues = describe_issues(workspace, faults, layers, memory_limit)
        notices: list[str] = [_CHECKED_ALONE] if is_alone else []
        own = {table.name: layers.own_paths(table) for table in TABLES}
        notices += describe_shared_ids(workspace, extracted.files, own, issues, memory_limit)
        validated = stage.finish(_count(workspace, checked.rejected, issues, notices, scope))
    _refuse_excess(extracted, checked.judged, validated, max_rejected_percent)
    return validated


class Checked:
    """The tables that are checked so far."""

    def __init__(
        self, layers: Layers, engine: Engine, workspace: Workspace, faults: Path, scope: Scope
    ) -> None:
        """Begins without any.

        Args:
            layers: have the rows.
            engine: what to compute on.
            workspace: gets the positions of rejected rows.
            faults: a folder that gets the faults: see check.
            scope: says which rows are judged.
        """
        self.rejected: dict[str, int] = {table.name: 0 for table in TABLES}
        """Rows of each table; none of one that has no files."""
        self.judged: dict[str, int] = {}
        """The same, of those by which the drop is judged."""
        self._layers, self._engine, self._scope = layers, engine, scope
        self._workspace, self._faults = workspace, faults

    def check(self, table: Table, rules: Sequence[Rule], today: date) -> None:
        """Finds the faults of a table's rows, and which rows are rejected.

        Writes to the table's folder of faults: ``of_rows.parquet``, grain: row that breaks a rule
        of the row itself; columns: position, and per such rule whether it does; and
        ``<rule>.parquet``, grain: row that breaks that rule among rows; columns: position, and the
        rule, which is true.
        """
        folder = self._faults / table.name
        folder.mkdir()
        rows = self._scope.rows(table)
        still_rejected = self._scope.still_rejected(table)
        errors: list[Frame] = []
        unknown: list[Frame] = [] if still_rejected is None else [still_rejected]
        if rows is not None:
            rows = rows.with_columns(today=nw.lit(today))
            errors = self._find_faulty_rows(folder, rules, rows)
            for rule in (rule for rule in rules if not isinstance(rule.condition, nw.Expr)):
                target = folder / f"{rule.name}.parquet"
                found = self._find_among_rows(rule, rows).with_columns(**{rule.name: nw.lit(True)})
                found = self._engine.write(found, target)
                if count_rows(target) and rule.severity == "error":
                    of_kind = unknown if isinstance(rule.condition, Unknown) else errors
                    of_kind.append(found.select("position"))
        target = self._workspace.rejected(table.name)
        self.rejected[table.name] = self._write_positions([*errors, *unknown], target)
        self.judged[table.name] = self.rejected[table.name]
        if self._layers.are_many:  # a delta is not to blame for what it refers to, or finds there
            own = nw.col("position") >= self._layers.first_position(table)
            own_errors = [error.filter(own) for error in errors]
            target_of_own = self._workspace.scratch / f"judged_{table}.parquet"
            self.judged[table.name] = self._write_positions(own_errors, target_of_own)

    def _write_positions(self, errors: Sequence[Frame], target: Path) -> int:
        if errors:
            self._engine.write(nw.concat(errors).unique(), target)
        return count_rows(target)

    def _find_faulty_rows(self, folder: Path, rules: Sequence[Rule], rows: Frame) -> list[Frame]:
        """Writes the faults of rows by themselves; returns the positions of those with an error."""
        holds = {
            rule.name: rule.condition.fill_null(False)
            for rule in rules
            if isinstance(rule.condition, nw.Expr)
        }
        is_broken = nw.any_horizontal(*holds, ignore_nulls=True)
        target = folder / "of_rows.parquet"
        broken = self._engine.write(rows.select("position", **holds).filter(is_broken), target)
        if not count_rows(target):
            return []
        serious = (r.name for r in rules if r.severity == "error" and r.name in holds)
        return [broken.filter(nw.any_horizontal(*serious, ignore_nulls=True)).select("position")]

    def _find_among_rows(self, rule: Rule, rows: Frame) -> Frame:
        """The rows, by position, that break a rule which looks at other rows."""
        if not isinstance(rule.condition, Unknown | Absent):
            return _find_repeated(rows, rule.table.key)
        table = rule.condition.table
        key = table.key
        named = references(rows, rule.table.column(rule.column), key)
        if isinstance(rule.condition, Unknown):
            others = self._layers.rows(table, self._engine).select("position", key)
            others = valid_rows(others, self._workspace.rejected(table.name), self._engine)
        else:
            named = named.filter(nw.col(key) > 0)
            others = self._layers.below(table, self._engine)
        return self._engine.without(named, others, key).select("position").unique()


def _find_repeated(rows: Frame, key: str) -> Frame:
    """The rows, by position, of which an earlier one has the same id."""
    firsts = (
        rows.filter(~nw.col(key).is_null())
        .group_by(key)
        .agg(rows=nw.col("position").count(), first=nw.col("position").min())
        .filter(nw.col("rows") > 1)
    )
    return (
        rows.select("position", key)
        .join(firsts, on=key)
        .filter(nw.col("position") > nw.col("first"))
        .select("position")
    )


def _count(
    workspace: Workspace,
    rejected: dict[str, int],
    issues: list[BrokenRule],
    notices: list[str],
    scope: Scope,
) -> Validated:
    found = sum(broken.issues for broken in issues if broken.severity == "warning")
    issues_sha256 = None
    if scope.totals is None:
        issues_sha256 = digest_of([("data_issues", tuple(ISSUE_COLUMNS), workspace.issues)])
    return Validated(
        rejected=rejected,
        rejected_rows=sum(rejected.values()),
        warnings=found + scope.still_doubted(),
        rules={f"{broken.table}.{broken.rule}": broken.issues for broken in issues},
        issues_sha256=issues_sha256,
        notices=notices,
        totals_before=scope.totals,
    )


def _refuse_excess(
    extracted: Extracted, judged: Mapping[str, int], validated: Validated, limit: float
) -> None:
    """Refuses a drop if too many of its rows are faulty: of a delta, its own and its deletions."""
    shares, compared = {}, {}
    for table in TABLES:
        names = (table.name, DELETIONS[table.name].name)
        rows = sum(extracted.rows.get(name, 0) for name in names)
        rejected = sum(judged.get(name, 0) for name in names)
        compared[table.name] = {"rows": rows, "rejected_rows": rejected}
        if extracted.mode == "delta" and rejected <= ALWAYS_TAKEN:
            rejected = 0
        shares[table.name] = (rejected, rows, 100 * rejected / rows if rows else 0.0)
    if any(share > limit for _, _, share in shares.values()):
        shown = ", ".join(
            f"{table} {share:.1f}% ({rejected} of {rows} rows)"
            for table, (rejected, rows, share) in shares.items()
        )
        told = [f"more rows are faulty than max_rejected_percent ({limit:g}) allows: {shown}"]
        if extracted.mode == "snapshot":  # what a delta refers to is not counted
            told += _find_incomplete(shares, validated, limit)
        raise DropRejected(". ".join([*told, *validated.notices]), compared)


def _find_incomplete(
    shares: Mapping[str, tuple[int, int, float]], validated: Validated, limit: float
) -> list[str]:
    """A text for each table that may have been cut short, as most of the excess refers to it."""
    found = []
    for table in TABLES:
        rejected, _, share = shares[table.name]
        for rule in rules_of(table):
            if share <= limit or not isinstance(rule.condition, Unknown):
                continue
            other = rule.condition.table.name
            broken = validated.rules.get(f"{table}.{rule.name}", 0)
            if broken * 2 > rejected and shares[other][2] <= limit:
                found.append(
                    f"{table} refers {broken} times to {other} of which there is no valid row, as "
                    "after an export that was cut short"
                )
    return found
