"""A second header within a file: two files were joined, perhaps with another order of columns."""

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_
from pathlib import Path

import duckdb
from duckdb import (
    CaseExpression,
    ColumnExpression,
    ConstantExpression,
    Expression,
    FunctionExpression,
)

from experiment_features.contract import TABLES, Table
from experiment_features.engines.arrow import find_nulls
from experiment_features.engines.duckdb_engine import read_parquet
from experiment_features.errors import DropRefused

_NAMES = {name for table in TABLES for name in table.column_names}
_AROUND_NAMES = ' \t"\ufeff'
_KEYS = [ConstantExpression(table.key) for table in TABLES]


def refuse_other_order(
    database: duckdb.DuckDBPyConnection,
    table: Table,
    header: Sequence[str],
    delimiter: str,
    rows: Path,
    file_name: str,
) -> None:
    """Refuses a file with a row that names its columns in another order than the header.

    The cells of all rows after it would be taken for those of other columns. In the same order, it
    is a faulty row like any other. Extra columns may have other names in it, and the second file
    may be one of another table.

    Args:
        database: of open_typing_database.
        table: whose file it is.
        header: the file's columns.
        delimiter: the character between two cells.
        rows: those that SQL has typed; the id of no other row is a name.
        file_name: for the message.

    Raises:
        DropRefused: there is such a row.
    """
    full, empty = find_nulls(rows)
    if table.key in full and "line" in empty:
        return
    all_rows = read_parquet(database, rows)
    named = all_rows.filter(ColumnExpression(table.key).isnull())
    named = named.filter(_names_all(table, header) | _names_two(table))
    ((first,),) = named.aggregate("min(line_number)").fetchall()
    found = [] if first is None else [first]
    unsplit = all_rows.filter(ColumnExpression("line").isnotnull())
    has_key = [FunctionExpression("contains", _name("line"), key) for key in _KEYS]
    unsplit = unsplit.filter(reduce(or_, has_key))
    found += [
        number
        for number, text in unsplit.project("line_number", "line").fetchall()
        if _ends_in_other_order(text, header, delimiter)
    ]
    if found:
        line = min(found)
        raise DropRefused(
            f"{file_name} line {line} names columns again, and not in the order of the "
            "header: two files were joined. Deliver them as two files, such as "
            f"{table}_1.csv and {table}_2.csv, each named after its table",
            file=file_name,
            line=line,
        )


def _names_all(table: Table, header: Sequence[str]) -> Expression:
    """Whether all cells of a row are names of the header, and one is that of another column."""
    columns = [column for column in table.columns if column.name in header]
    cells = {column.name: _name(column.text_name) for column in columns}
    names = [ConstantExpression(name) for name in header]
    same = [cell == ConstantExpression(name) for name, cell in cells.items()]
    return reduce(and_, (cell.isin(*names) for cell in cells.values())) & ~reduce(and_, same)


def _names_two(table: Table) -> Expression:
    """Whether two cells of a row are names of other columns, of this table or another one."""
    misplaced = [
        CaseExpression(_name(column.text_name).isin(*others), ConstantExpression(1)).otherwise(
            ConstantExpression(0)
        )
        for column in table.columns
        if (others := [ConstantExpression(n) for n in sorted(_NAMES) if n != column.name])
    ]
    return sum(misplaced, ConstantExpression(0)) >= ConstantExpression(2)


def _ends_in_other_order(line: str, header: Sequence[str], delimiter: str) -> bool:
    """Whether names follow the last row of a file that was joined without a line end after it."""
    cells = [cell.strip(_AROUND_NAMES) for cell in line.lower().split(delimiter)]
    if len(cells) <= len(header):
        return False
    begin, *rest = cells[-len(header) :]
    names = {*header, *_NAMES}
    first = max((name for name in names if begin.endswith(name)), key=len, default=begin)
    found = [first, *rest]
    is_other = [cell != name for cell, name in zip(found, header, strict=True)]
    misplaced = sum(cell in _NAMES for cell, other in zip(found, is_other, strict=True) if other)
    return misplaced > 1 or (any(is_other) and set(found) <= set(header))


def _name(column: str) -> Expression:
    """The text of a cell as the name of a column.

    A file that is appended may have a mark, behind which quotes and blanks are part of the text.
    """
    text = FunctionExpression("lower", ColumnExpression(column))
    return FunctionExpression("trim", text, ConstantExpression(_AROUND_NAMES))
