"""The issues of a drop: described row by row for the database, and summed up for a person."""

from dataclasses import dataclass
from functools import reduce
from glob import escape
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
from duckdb import ColumnExpression, ConstantExpression, DuckDBPyConnection, DuckDBPyRelation

from experiment_features.config import Settings
from experiment_features.contract import ALL_TABLES, Table
from experiment_features.engines.arrow import files_of
from experiment_features.engines.duckdb_engine import open_duckdb, read_parquet, read_some_parts
from experiment_features.rules.rules import RULES
from experiment_features.run import Extracted, Validated
from experiment_features.store.layers import Layers, count_rows
from experiment_features.store.written_cells import define_written, written
from experiment_features.visible_text import shown
from experiment_features.workspace import Workspace

_SQL = files("experiment_features.rules") / "sql"


class BrokenRule(NamedTuple):
    """A rule that rows of a table broke."""

    table: str
    rule: str
    severity: str
    issues: int


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


def summarise(
    workspace: Workspace, memory_limit: str = Settings.memory_limit
) -> tuple[list[TableQuality], list[RuleQuality]]:
    """The tables of a checked drop, and the rules that were broken: errors first, then by number.

    Args:
        workspace: of a run whose validate stage is done.
        memory_limit: what DuckDB may use.
    """
    extracted, validated = workspace.found(Extracted), workspace.found(Validated)
    tables = [
        TableQuality(
            table,
            tuple(file["name"] for file in extracted.files if file["table"] == table),
            rows,
            validated.rejected[table],
        )
        for table, rows in extracted.rows.items()
    ]
    if not workspace.issues.exists():
        return tables, []
    with open_duckdb(memory_limit, workspace.scratch / "spill") as database:
        read_parquet(database, workspace.issues).create_view("issues")
        broken = database.execute((_SQL / "summarise_issues.sql").read_text("utf-8")).fetchall()
    return tables, [
        RuleQuality(severity, table, rule, message, issues, list(map(_shown_place, places)))
        for severity, table, rule, message, issues, places in broken
    ]


def _shown_place(place: dict[str, Any]) -> str:
    value = "" if place["value"] is None else f" {shown(place['value'])}"
    return f"{shown(place['file'])}:{place['line']}{value}"


def describe_issues(
    workspace: Workspace,
    faults: Path,
    layers: Layers,
    memory_limit: str,
) -> list[BrokenRule]:
    """Writes workspace.issues, if there are faults: each with its rule, file and row.

    Args:
        workspace: gets the issues.
        faults: has a folder per table with its faults: see validate._find_faults.
        layers: have the rows.
        memory_limit: what DuckDB may use.
    """
    found = [path for path in sorted(faults.glob("*/*.parquet")) if count_rows(path)]
    if not found:
        return []
    with open_duckdb(memory_limit, workspace.scratch / "spill") as database:
        define_written(database)
        for script in ("raw_rows.sql", "positions.sql"):
            database.execute((_SQL / script).read_text("utf-8"))
        _list_rules_and_files(database, layers)
        names = [escape(str(file)) for path in found for file in files_of(path)]
        places = {"files": names, "folder": str(faults)}
        database.execute((_SQL / "list_faults.sql").read_text("utf-8"), places)
        faulty = {path.parent.name for path in found}
        tables = [table for table in ALL_TABLES if table.name in faulty]
        raw_rows = (_raw_rows(database, layers, table) for table in tables)
        reduce(DuckDBPyRelation.union, raw_rows).create_view("raw_rows")
        target = str(workspace.issues)
        database.execute((_SQL / "describe_issues.sql").read_text("utf-8"), {"target": target})
        by_rule = read_parquet(database, workspace.issues).aggregate(
            "table_name, rule, severity, count(*) as issues"
        )
        return [BrokenRule(*rule) for rule in by_rule.order("table_name, rule").fetchall()]


def _list_rules_and_files(database: DuckDBPyConnection, layers: Layers) -> None:
    rules = {
        "tables": [rule.table.name for rule in RULES],
        "rules": [rule.name for rule in RULES],
        "columns": [rule.column for rule in RULES],
        "severities": [rule.severity for rule in RULES],
        "messages": [rule.message for rule in RULES],
    }
    files = list(layers.files())
    files_of_drops = {
        "tables": [file.table for file in files],
        "numbers": [file.number for file in files],
        "names": [file.name for file in files],
        "run_ids": [file.run_id for file in files],
    }
    database.execute((_SQL / "list_rules.sql").read_text("utf-8"), rules)
    database.execute((_SQL / "list_files.sql").read_text("utf-8"), files_of_drops)


def _raw_rows(database: DuckDBPyConnection, layers: Layers, table: Table) -> DuckDBPyRelation:
    """Grain: row that has a fault; columns: table_name, position, row_id, raw_row (JSON)."""
    is_of_table = ColumnExpression("table_name") == ConstantExpression(table.name)
    faulty = database.table("faults").filter(is_of_table).project("position")
    of_files = faulty.project("file_number_of(position) as number").distinct().fetchall()
    # Only of files with faults: a delta's are in few. They are read at once: a query over each of
    # them would grow too deep.
    rows = read_some_parts(database, {layers.find(table, number) for (number,) in of_files})
    cells = (
        (ConstantExpression(column.name), duckdb.FunctionExpression("shown", written(column)))
        for column in table.columns
    )
    return rows.join(faulty, "position", how="semi").project(
        ConstantExpression(table.name).alias("table_name"),
        ColumnExpression("position"),
        duckdb.FunctionExpression(
            "row_id", ColumnExpression("line"), ColumnExpression(table.key)
        ).alias("row_id"),
        duckdb.FunctionExpression(
            "raw_row",
            ColumnExpression("line"),
            duckdb.FunctionExpression("json_object", *chain.from_iterable(cells)),
        ).alias("raw_row"),
    )
