"""A second header within a file: two files were joined, perhaps with another order of columns."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
from duckdb import ColumnExpression, ConstantExpression, Expression, FunctionExpression

from experiment_features.contract import Table
from experiment_features.engines.duckdb_engine import read_parquet
from experiment_features.errors import DropRefused


def refuse_other_order(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    header: Sequence[str],
    rows: Path,
    file_name: str,
) -> None:
    """Refuses a file with a row that names its columns in another order than the header.

    The cells of all rows after it would be taken for those of other columns. In the same order, it
    is a faulty row like any other.

    Args:
        database: of open_typing_database.
        table: whose file it is.
        header: the file's columns.
        rows: those that SQL has typed; the id of no other row is a name.
        file_name: for the message.

    Raises:
        DropRefused: there is such a row.
    """
    columns = [column for column in table.columns if column.name in header]
    cells = {column.name: _name(column.text_name) for column in columns}
    names = [ConstantExpression(name) for name in header]
    found = read_parquet(database, rows).filter(cells[table.key].isin(*names))
    for cell in cells.values():
        found = found.filter(cell.isin(*names))
    lines = found.project(
        ColumnExpression("line_number"),
        *((cell == ConstantExpression(name)).alias(name) for name, cell in cells.items()),
    )
    others = [line for line, *is_same in lines.fetchall() if not all(is_same)]
    if others:
        raise DropRefused(
            f"{file_name} line {min(others)} names the columns again, in another order than the "
            "header: two files were joined. Deliver them as two files, such as "
            f"{table}_1.csv and {table}_2.csv",
            file=file_name,
            line=min(others),
        )


def _name(column: str) -> Expression:
    """The text of a cell as the name of a column; a file that is appended may have a mark."""
    text = FunctionExpression("lower", ColumnExpression(column))
    return FunctionExpression("ltrim", text, ConstantExpression("\ufeff"))
