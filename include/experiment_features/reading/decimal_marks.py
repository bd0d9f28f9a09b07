"""Ambiguous numbers: ``1.250`` in a column that also holds ``12,5`` or ``1.250.000``.

The point may separate thousands there. Which marks a file uses is known only when all of it is
read; its typed rows are then written again, without values for such cells.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import duckdb
from duckdb import (
    CaseExpression,
    ColumnExpression,
    ConstantExpression,
    Expression,
    FunctionExpression,
)

from experiment_features.contract import Column, Kind, Table
from experiment_features.engines.arrow import find_nulls
from experiment_features.engines.duckdb_engine import read_parquet, write_parquet

_SCRIPT = files("experiment_features.reading") / "sql" / "decimal_marks.sql"


def define_marks(database: duckdb.DuckDBPyConnection) -> None:
    """Defines what these expressions need."""
    database.execute(_SCRIPT.read_text("utf-8"))


def shows_thousands(column: Column) -> Expression:
    """Whether a cell shows that points may separate thousands in its file."""
    value, text = ColumnExpression(column.name), ColumnExpression(column.text_name)
    shows = FunctionExpression("shows_thousands_points", text)
    return value.isnull() & text.isnotnull() & shows


def is_ambiguous(column: Column) -> Expression:
    """Whether a cell of a part is ambiguous."""
    return ColumnExpression("fault") == _fault(column)


def find_ambiguous_columns(
    database: duckdb.DuckDBPyConnection, table: Table, rows: Path
) -> list[Column]:
    """The columns of numbers in which points may separate thousands.

    Args:
        database: of open_typing_database.
        table: whose rows they are.
        rows: those that SQL has typed; no others show this.
    """
    full, empty = find_nulls(rows)
    columns = [
        column
        for column in table.columns
        if column.kind is Kind.NUMBER and column.name not in full and column.text_name not in empty
    ]
    if not columns:  # as in most files: opening their rows takes longer than to look at the footer
        return []
    define_marks(database)
    typed = read_parquet(database, rows)
    return [c for c in columns if typed.filter(shows_thousands(c)).limit(1).fetchall()]


def void_ambiguous_numbers(
    database: duckdb.DuckDBPyConnection, columns: Sequence[Column], part: Path
) -> None:
    """Removes the value of every ambiguous number from some columns of a part."""
    for column in columns:
        rewritten = part.with_suffix(".rewritten")
        write_parquet(_void(read_parquet(database, part), column), rewritten)
        rewritten.replace(part)


def _fault(column: Column) -> Expression:
    return ConstantExpression(f"{column.name}_ambiguous")


def _void(rows: duckdb.DuckDBPyRelation, column: Column) -> duckdb.DuckDBPyRelation:
    """The rows; an ambiguous number is NULL, but keeps its text, and the row's fault says why."""
    value, text = ColumnExpression(column.name), ColumnExpression(column.text_name)
    spelled = FunctionExpression("spelled", value, text)
    has_point = FunctionExpression("has_point_and_three_digits", spelled)
    replaced = {
        column.name: CaseExpression(has_point, ConstantExpression(None)).otherwise(value),
        column.text_name: CaseExpression(has_point, spelled).otherwise(text),
        "fault": CaseExpression(has_point, _fault(column)).otherwise(ColumnExpression("fault")),
    }
    return rows.project(
        *(
            replaced[name].alias(name) if name in replaced else ColumnExpression(name)
            for name in rows.columns
        )
    )
