"""Validate: the rules of rules.py on every row; faulty rows are named, and errors rejected."""

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import narwhals as nw

from experiment_features.config import Settings
from experiment_features.contract import TABLES, Column, Kind, Table
from experiment_features.digest import digest_of
from experiment_features.engines.engine import Engine, Frame
from experiment_features.errors import DropRejected
from experiment_features.rules.footers import can_skip
from experiment_features.rules.issues import BrokenRule, describe_issues
from experiment_features.rules.rules import Rule, Unknown, rules_of
from experiment_features.rules.shared_ids import describe_shared_ids
from experiment_features.run import Extracted, Validated
from experiment_features.store.parts import PartStore
from experiment_features.store.valid_rows import count_rows, valid_rows
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)

ISSUE_DIGEST_COLUMNS = ("table_name", "row_id", "rule", "column_name", "value")
"""Without the place: which file a row is in says nothing of the row."""

Checked = dict[Table, Frame]
"""The valid rows of the tables so far, to which rows of later ones refer: position and key."""


def validate(
    workspace: Workspace,
    store: PartStore,
    engine: Engine,
    *,
    max_rejected_percent: float,
    today: date,
    memory_limit: str = Settings.memory_limit,
) -> Validated:
    """Checks every typed row, and writes which are rejected and all that is wrong.

    Writes, if there are any, ``workspace.rejected(table)`` (grain: rejected row; column: position)
    and ``workspace.issues`` (grain: fault of a row; columns: severity, table_name, row_id,
    file_name, line_number, rule, column_name, value, message, raw_row as JSON text).

    Args:
        workspace: of a run whose extract stage is done.
        store: has its parts.
        engine: what to compute on.
        max_rejected_percent: of each table's rows, from 0 to 100.
        today: the day of the run, UTC.
        memory_limit: what DuckDB may use to describe the issues.

    Raises:
        DropRejected: too many rows of a table are faulty; the issues are written all the same.
        PartGone: a part has been removed, or is damaged.
    """
    extracted = workspace.found(Extracted)
    with workspace.stage(Validated) as stage:
        store.refuse_damaged(extracted.parts)
        workspace.fresh_folder(workspace.folder / "rejected")
        workspace.remove(workspace.issues)
        faults = workspace.fresh_folder(workspace.scratch / "faults")
        checked: Checked = {}
        rejected: dict[str, int] = {}
        parts = {table.name: store.paths(extracted.parts, table.name) for table in TABLES}
        for table in TABLES:
            rows = engine.read_parts(parts[table.name]).with_columns(today=nw.lit(today))
            rules = [
                rule for rule in rules_of(table) if not can_skip(rule, extracted, rejected, parts)
            ]
            errors = _find_faults(table, rules, rows, checked, engine, faults)
            target = workspace.rejected(table.name)
            if errors is not None:
                engine.write(errors, target)
            rejected[table.name] = count_rows(target)
            checked[table] = valid_rows(rows.select("position", table.key), target, engine)
            log.info("checked %s", table)
        issues = describe_issues(workspace, faults, extracted.files, parts, memory_limit)
        shared = list(describe_shared_ids(workspace, extracted.files, parts, issues, memory_limit))
        validated = stage.finish(_count(workspace, rejected, issues, shared))
    _refuse_excess(extracted.rows, validated, max_rejected_percent)
    return validated


def _find_faults(
    table: Table,
    rules: Sequence[Rule],
    rows: Frame,
    checked: Checked,
    engine: Engine,
    faults: Path,
) -> Frame | None:
    """Finds the faults of a table's rows; returns the positions of rows with an error, if any.

    Writes to the table's folder of faults: ``of_rows.parquet``, grain: row that breaks a rule of
    the row itself; columns: position, and per such rule whether it does; and ``<rule>.parquet``,
    grain: row that breaks that rule among rows; columns: position, and the rule, which is true.
    """
    folder = faults / table.name
    folder.mkdir()
    holds = {
        rule.name: rule.condition.fill_null(False)
        for rule in rules
        if isinstance(rule.condition, nw.Expr)
    }
    broken = rows.select("position", **holds).filter(nw.any_horizontal(*holds, ignore_nulls=True))
    target = folder / "of_rows.parquet"
    broken = engine.write(broken, target)
    errors: list[Frame] = []
    if count_rows(target):
        serious = (r.name for r in rules if r.severity == "error" and r.name in holds)
        is_error = nw.any_horizontal(*serious, ignore_nulls=True)
        errors.append(broken.filter(is_error).select("position"))
    for rule in (rule for rule in rules if rule.name not in holds):
        found = _find_among_rows(table, rule, rows, checked, engine)
        target = folder / f"{rule.name}.parquet"
        found = engine.write(found.with_columns(**{rule.name: nw.lit(True)}), target)
        if count_rows(target):
            errors.append(found.select("position"))
    return nw.concat(errors).unique() if errors else None


def _find_among_rows(
    table: Table, rule: Rule, rows: Frame, checked: Checked, engine: Engine
) -> Frame:
    if isinstance(rule.condition, Unknown):
        key = rule.condition.table.key
        references = _references(rows, table.column(rule.column), key)
        unknown = engine.without(references, checked[rule.condition.table], key)
        return unknown.select("position").unique()
    return _find_repeated(rows, table.key)


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


def _references(rows: Frame, column: Column, key: str) -> Frame:
    """Grain: id that a row has in a column, or in its list; columns: position, and ``key``."""
    references = rows.select("position", **{key: column.name}).filter(~nw.col(key).is_null())
    if column.kind is Kind.INTEGERS:
        references = references.filter(nw.col(key).list.len() > 0).explode(key)
    return references


def _count(
    workspace: Workspace,
    rejected: dict[str, int],
    issues: list[BrokenRule],
    notices: list[str],
) -> Validated:
    return Validated(
        rejected=rejected,
        rejected_rows=sum(rejected.values()),
        warnings=sum(broken.issues for broken in issues if broken.severity == "warning"),
        rules={f"{broken.table}.{broken.rule}": broken.issues for broken in issues},
        issues_sha256=digest_of([("data_issues", ISSUE_DIGEST_COLUMNS, workspace.issues)]),
        notices=notices,
    )


def _refuse_excess(rows: Mapping[str, int], validated: Validated, limit: float) -> None:
    rejected = validated.rejected
    shares = {t: 100 * rejected[t] / rows[t] if rows[t] else 0.0 for t in rows}
    if any(share > limit for share in shares.values()):
        shown = ", ".join(
            f"{table} {share:.1f}% ({rejected[table]} of {rows[table]} rows)"
            for table, share in shares.items()
        )
        told = [f"more rows are faulty than max_rejected_percent ({limit:g}) allows: {shown}"]
        raise DropRejected(". ".join([*told, *validated.notices]))
