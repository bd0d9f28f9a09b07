"""The rows of a file, typed by DuckDB: the plain way, which takes any row of any table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import duckdb
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression, Expression, FunctionExpression

from experiment_features.contract import Column, Table
from experiment_features.engines.duckdb_engine import call_macro, open_duckdb, write_parquet
from experiment_features.reading.file_reader import ROWS

Rows = Iterator[pa.RecordBatch]
"""Batches of file_reader.ROWS."""

_SQL = files("experiment_features.reading") / "sql"


@contextmanager
def open_typing_database(memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens the database in which the cells of a drop are typed, one file after the other."""
    with open_duckdb(memory_limit) as database:
        _register(database, iter(()))
        for script in ("split_rows.sql", "kinds.sql"):
            database.execute((_SQL / script).read_text("utf-8"))
        yield database


def type_cells(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    header: Sequence[str],
    delimiter: str,
    rows: Rows,
    target: Path,
) -> None:
    """Types rows of a file and writes them to a Parquet file, with the columns of a part.

    Ambiguous numbers are still values: see decimal_marks.py.

    Args:
        database: of open_typing_database.
        table: whose rows they are.
        header: the file's columns.
        delimiter: the character between two cells of a row that is not split yet.
        rows: the rows; what making them raises is raised here.
        target: the Parquet file.
    """
    errors: list[BaseException] = []
    _register(database, _remembered(rows, errors))
    try:
        write_parquet(_typed(database, table, header, delimiter), target)
    except duckdb.Error:
        if errors:  # DuckDB wraps what the rows raised
            raise errors[0] from None
        raise


def _register(database: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    database.register("rows", pa.RecordBatchReader.from_batches(ROWS, rows))


def _typed(
    database: duckdb.DuckDBPyConnection, table: Table, header: Sequence[str], delimiter: str
) -> duckdb.DuckDBPyRelation:
    """The registered rows, split, with every cell as value and text: see sql/kinds.sql."""
    split = database.table_function("split_rows", [delimiter, len(header)])
    row = [ColumnExpression(name) for name in split.columns if name != "cells"]
    return type_rows(
        split.project(*row, *(_cell(column, header) for column in table.columns)), table
    )


def type_rows(rows: duckdb.DuckDBPyRelation, table: Table) -> duckdb.DuckDBPyRelation:
    """Rows with every cell as value and text.

    Args:
        rows: with the text of a cell in each column of the table, and other columns, which stay.
        table: whose rows they are.
    """
    columns = table.columns
    row = [ColumnExpression(name) for name in rows.columns if name not in table.column_names]
    cast = rows.project("*", *(_step(column, "cast") for column in columns))
    checked = cast.project("*", *(_step(column, "check", "cast") for column in columns))
    return checked.project(
        *row, *(typed for column in columns for typed in _value_and_text(column))
    )


def _cell(column: Column, header: Sequence[str]) -> Expression:
    """The column's cell of a row; NULL where the file lacks the column."""
    index = header.index(column.name) + 1 if column.name in header else None
    cell = FunctionExpression("cell_at", ColumnExpression("cells"), ConstantExpression(index))
    return cell.alias(column.name)


def _step(column: Column, step: str, *steps_before: str) -> Expression:
    """The macro of a column's kind for one step, on the cell and on what it became before."""
    names = [column.name, *(f"{column.name} {before}" for before in steps_before)]
    return call_macro(column.kind, step, *map(ColumnExpression, names)).alias(
        f"{column.name} {step}"
    )


def _value_and_text(column: Column) -> Iterator[Expression]:
    yield _step(column, "value", "cast", "check").alias(column.name)
    if column.text_name != column.name:
        yield _step(column, "text", "cast", "check").alias(column.text_name)


def _remembered(rows: Rows, errors: list[BaseException]) -> Rows:
    """The rows; keeps what making them raises, or a signal's handler meanwhile."""
    try:
        yield from rows
    except GeneratorExit:  # no more of them are wanted
        raise
    except BaseException as error:
        errors.append(error)
        raise
