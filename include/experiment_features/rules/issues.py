"""The issues of a drop: described row by row for the database, and summed up for a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path

from experiment_features.contract import TABLES
from experiment_features.drop.files import DropFile
from experiment_features.engines.duckdb_engine import open_duckdb
from experiment_features.rules.rules import RULES
from experiment_features.run import Extracted, Validated
from experiment_features.store.valid_rows import count_rows
from experiment_features.workspace import Workspace

_SQL = files("experiment_features.rules") / "sql"

Counts = list[tuple[str, str, str, int]]
"""Table, rule, severity and number of issues, of each rule that was broken."""


@dataclass(frozen=True)
class TableQuality:
    """One table of the drop: its files, and how many of its rows were read and rejected."""

    name: str
    files: tuple[str, ...]
    rows: int
    rejected: int


@dataclass(frozen=True)
class RuleQuality:
    """One rule that rows of one table broke, with the first places where they did."""

    severity: str
    table: str
    rule: str
    message: str
    issues: int
    examples: list[str]
    """``file:line value``; the file and line alone where the whole row is at fault."""


def summarise(workspace: Workspace) -> tuple[list[TableQuality], list[RuleQuality]]:
    """The tables of a checked drop, and the rules that were broken: errors first, then by number.

    Args:
        workspace: of a run whose validate stage is done.
    """
    extracted, validated = workspace.found(Extracted), workspace.found(Validated)
    tables = [
        TableQuality(
            table.name,
            tuple(file["name"] for file in extracted.files if file["table"] == table.name),
            extracted.rows[table.name],
            validated.rejected[table.name],
        )
        for table in TABLES
    ]
    if not workspace.issues.exists():
        return tables, []
    with open_duckdb() as database:
        query = (_SQL / "summarise_issues.sql").read_text()
        broken = database.execute(query, {"issues": str(workspace.issues)}).fetchall()
    return tables, [RuleQuality(*rule) for rule in broken]


def describe_issues(workspace: Workspace, faults: Path, drop_files: Sequence[DropFile]) -> Counts:
    """Joins the faults, if there are any, with their rules, files and rows: workspace.issues."""
    if not any(map(count_rows, faults.rglob("*.parquet"))):
        return []
    rules = {
        "tables": [rule.table.name for rule in RULES],
        "rules": [rule.name for rule in RULES],
        "columns": [rule.column for rule in RULES],
        "severities": [rule.severity for rule in RULES],
        "messages": [rule.message for rule in RULES],
    }
    numbers = {table.name: count(1) for table in TABLES}
    files_of_drop = {
        "tables": [file["table"] for file in drop_files],
        "numbers": [next(numbers[file["table"]]) for file in drop_files],
        "names": [file["name"] for file in drop_files],
    }
    target = str(workspace.issues)
    places = {"faults": str(faults), "rows": str(workspace.folder), "target": target}
    with open_duckdb() as database:
        database.execute((_SQL / "list_rules.sql").read_text(), rules)
        database.execute((_SQL / "list_files.sql").read_text(), files_of_drop)
        database.execute((_SQL / "describe_issues.sql").read_text(), places)
        by_rule = database.read_parquet(target).aggregate(
            "table_name, rule, severity, count(*) as issues"
        )
        return by_rule.order("table_name, rule").fetchall()
