"""Validate: the rules of rules.py on every row; faulty rows are named, and errors rejected."""

import logging
from datetime import date
from importlib.resources import files
from pathlib import Path

import duckdb
import narwhals as nw
import pyarrow as pa

from experiment_features.contract import COMPOUNDS, TABLES, USER_EXPERIMENTS, USERS, Table
from experiment_features.engines import Engine, Frame
from experiment_features.errors import DropRejected
from experiment_features.rules import RULES, rules_of
from experiment_features.workspace import Facts, Workspace

log = logging.getLogger(__name__)

_SQL = files("experiment_features") / "sql"


def validate(
    workspace: Workspace, engine: Engine, *, max_rejected_percent: float, today: date
) -> Facts:
    """Checks every typed row, and writes which are rejected and all that is wrong.

    Writes ``workspace.rejected(table)`` (grain: rejected row; column: position) and
    ``workspace.issues`` (grain: fault of a row; columns: severity, table_name, file_name,
    line_number, rule, column_name, value, message, raw_row as JSON text).

    Args:
        workspace: of a run whose extract stage is done.
        engine: what to compute on.
        max_rejected_percent: of each table's rows, from 0 to 100.
        today: the day of the run, UTC.

    Returns:
        ``rejected``: rows per table; ``rejected_rows``: their sum; ``warnings``: issues that
        reject nothing; ``rules``: issues per rule, as ``table.rule``.

    Raises:
        DropRejected: too many rows of a table are faulty; the issues are written all the same.
    """
    extracted = workspace.facts("extract")
    with workspace.stage("validate") as facts:
        workspace.fresh_folder(workspace.folder / "rejected")
        faults = workspace.fresh_folder(workspace.folder / "faults")
        valid: dict[Table, Frame] = {}
        for table in TABLES:
            rows = engine.read(workspace.rows(table.name))
            found = faults / f"{table.name}.parquet"
            engine.write(_find_faults(table, rows, valid, today), found)
            errors = [rule.name for rule in rules_of(table) if rule.severity == "error"]
            is_rejected = nw.any_horizontal(*errors, ignore_nulls=True)
            rejected = workspace.rejected(table.name)
            engine.write(engine.read(found).filter(is_rejected).select("position"), rejected)
            valid[table] = rows.join(engine.read(rejected), on="position", how="anti")
        _describe_issues(workspace, faults, extracted["files"])
        facts |= _count_issues(workspace)
    _refuse_excess(extracted["rows"], facts["rejected"], max_rejected_percent)
    return facts


def _find_faults(table: Table, rows: Frame, valid: dict[Table, Frame], today: date) -> Frame:
    """Grain: row with a fault; columns: position, and per rule, by its name, whether it holds."""
    rows = rows.with_columns(today=nw.lit(today))
    rows = _add_first_positions(table, rows)
    if table is USER_EXPERIMENTS:
        rows = _add_unknown_references(rows, valid)
    holds = {rule.name: rule.condition.fill_null(value=False) for rule in rules_of(table)}
    return rows.select("position", **holds).filter(nw.any_horizontal(*holds, ignore_nulls=True))


def _add_first_positions(table: Table, rows: Frame) -> Frame:
    """Adds first_position, where several rows have the same id; else NULL."""
    repeated = (
        rows.filter(~nw.col(table.key).is_null())
        .group_by(table.key)
        .agg(rows=nw.col("position").count(), first_position=nw.col("position").min())
        .filter(nw.col("rows") > 1)
        .select(table.key, "first_position")
    )
    return rows.join(repeated, on=table.key, how="left")


def _add_unknown_references(rows: Frame, valid: dict[Table, Frame]) -> Frame:
    """Adds unknown_user_at and unknown_compound_at: the row's position, or NULL."""
    users = valid[USERS].select("user_id")
    unknown_users = (
        rows.filter(~nw.col("user_id").is_null())
        .join(users, on="user_id", how="anti")
        .select("position", unknown_user_at="position")
    )
    compounds = valid[COMPOUNDS].select(experiment_compound_ids="compound_id")
    unknown_compounds = (
        rows.filter(nw.col("experiment_compound_ids").list.len() > 0)
        .select("position", "experiment_compound_ids")
        .explode("experiment_compound_ids")
        .join(compounds, on="experiment_compound_ids", how="anti")
        .select("position", unknown_compound_at="position")
        .unique()
    )
    rows = rows.join(unknown_users, on="position", how="left")
    return rows.join(unknown_compounds, on="position", how="left")


def _describe_issues(workspace: Workspace, faults: Path, drop_files: list[Facts]) -> None:
    """Joins the faults with their rules, files and rows into workspace.issues."""
    rules = pa.table(
        {
            "table_name": [rule.table.name for rule in RULES],
            "rule": [rule.name for rule in RULES],
            "column_name": pa.array([rule.column for rule in RULES], pa.string()),
            "severity": [rule.severity for rule in RULES],
            "message": [rule.message for rule in RULES],
        }
    )
    numbers = {table.name: 0 for table in TABLES}
    numbered = []
    for file in drop_files:
        numbers[file["table"]] += 1
        numbered.append((file["table"], numbers[file["table"]], file["name"]))
    names = ("table_name", "file_number", "file_name")
    with duckdb.connect() as database:
        database.register("rules", rules)
        database.register(
            "files", pa.table(dict(zip(names, map(list, zip(*numbered, strict=True)), strict=True)))
        )
        database.execute(
            (_SQL / "describe_issues.sql").read_text(),
            {
                "faults": str(faults),
                "rows": str(workspace.folder),
                "target": str(workspace.issues),
            },
        )


def _count_issues(workspace: Workspace) -> Facts:
    with duckdb.connect() as database:
        issues = database.read_parquet(str(workspace.issues))
        by_rule = issues.aggregate("table_name, rule, severity, count(*) as issues").order(
            "table_name, rule"
        )
        counts = by_rule.fetchall()
        rejected = {
            table.name: database.read_parquet(str(workspace.rejected(table.name))).shape[0]
            for table in TABLES
        }
    return {
        "rejected": rejected,
        "rejected_rows": sum(rejected.values()),
        "warnings": sum(number for *_, severity, number in counts if severity == "warning"),
        "rules": {f"{table}.{rule}": number for table, rule, _, number in counts},
    }


def _refuse_excess(rows: dict[str, int], rejected: dict[str, int], limit: float) -> None:
    shares = {t: 100 * rejected[t] / rows[t] if rows[t] else 0.0 for t in rows}
    if any(share > limit for share in shares.values()):
        told = ", ".join(
            f"{table} {share:.1f}% ({rejected[table]} of {rows[table]} rows)"
            for table, share in shares.items()
        )
        raise DropRejected(
            f"more rows are faulty than max_rejected_percent ({limit:g}) allows: {told}. Mend the "
            "rows that features.data_issues names for this run, or allow more"
        )
