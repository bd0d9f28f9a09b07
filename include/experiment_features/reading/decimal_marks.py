"""Ambiguous numbers: ``1.250`` in a column that also holds ``12,5``.

The point may separate thousands there. Which marks a file uses is known only when all of it is
read; its typed rows are then written again, without values for such cells.
"""

from pathlib import Path

import duckdb
from duckdb import CaseExpression, ColumnExpression, ConstantExpression, FunctionExpression

from experiment_features.contract import Column, Kind, Table


def void_ambiguous_numbers(
    database: duckdb.DuckDBPyConnection, table: Table, target: Path, plain: Path
) -> None:
    """Removes the value of every ambiguous number from the typed rows of one file of a drop.

    Args:
        database: of open_typing_database.
        table: whose file it is.
        target: the rows that SQL has typed (type_cells.type_cells), and with them all cells that
            hold a decimal comma; gets the others, too, if there is one.
        plain: the other rows; need not exist.
    """
    for column in table.columns:
        if column.kind is Kind.NUMBER and _has_decimal_comma(database, column, target):
            files = [str(file) for file in (target, plain) if file.exists()]
            rows = database.read_parquet(files, union_by_name=True)
            rewritten = target.with_suffix(".rewritten")
            _void(rows, column).write_parquet(str(rewritten))
            rewritten.rename(target)
            plain.unlink(missing_ok=True)


def _has_decimal_comma(database: duckdb.DuckDBPyConnection, column: Column, target: Path) -> bool:
    untyped = database.read_parquet(str(target)).filter(ColumnExpression(column.name).isnull())
    has_comma = FunctionExpression("has_decimal_comma", ColumnExpression(column.text_name))
    return bool(untyped.filter(has_comma).limit(1).fetchall())


def _void(rows: duckdb.DuckDBPyRelation, column: Column) -> duckdb.DuckDBPyRelation:
    """The rows; an ambiguous number is NULL, but keeps its text, and the row's fault says why."""
    value, text = ColumnExpression(column.name), ColumnExpression(column.text_name)
    spelled = FunctionExpression("spelled", value, text)
    is_ambiguous = FunctionExpression("has_point_and_three_digits", spelled)
    fault = ConstantExpression(f"{column.name}_ambiguous")
    replaced = {
        column.name: CaseExpression(is_ambiguous, ConstantExpression(None)).otherwise(value),
        column.text_name: CaseExpression(is_ambiguous, spelled).otherwise(text),
        "fault": CaseExpression(is_ambiguous, fault).otherwise(ColumnExpression("fault")),
    }
    return rows.project(
        *(
            replaced[name].alias(name) if name in replaced else ColumnExpression(name)
            for name in rows.columns
        )
    )
