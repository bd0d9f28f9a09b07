"""Brings a part of an older reader version up from itself, without its file.

A part keeps what its file says in each cell, so today's reader can type the cells again, but not
split the rows again.
"""

from pathlib import Path
from typing import NoReturn

import duckdb
from duckdb import CaseExpression, ColumnExpression, ConstantExpression, DuckDBPyRelation

from experiment_features.contract import ALL_TABLES, Column, Kind
from experiment_features.drop.files import Part
from experiment_features.engines.duckdb_engine import read_parquet, write_parquet
from experiment_features.errors import ConfigurationError
from experiment_features.reading.decimal_marks import find_ambiguous_columns, void_ambiguous_numbers
from experiment_features.reading.threads import writing
from experiment_features.reading.type_cells import type_rows
from experiment_features.store.parts import READER_VERSION, reader_version
from experiment_features.store.written_cells import define_written, written

SPLIT_VERSION = 0
"""The oldest version of the reader that splits rows into the same cells as today's."""

_KINDS = {
    "BIGINT": Kind.INTEGER,
    "BIGINT[]": Kind.INTEGERS,
    "DOUBLE": Kind.NUMBER,
    "DATE": Kind.DATE,
    "VARCHAR": Kind.TEXT,
}
"""Of a part's column, by its type: the contract may have had another one then."""


def upgrade_part(database: duckdb.DuckDBPyConnection, part: Part, path: Path, target: Path) -> None:
    """Writes what today's reader would make of a part's file.

    Args:
        database: of open_typing_database.
        part: of an older version.
        path: its rows.
        target: gets the typed rows, in no order: see typed_file.part_schema.

    Raises:
        ConfigurationError: the part does not have what is needed.
        StorageUnavailable: the target cannot be written.
    """
    if reader_version(part) < SPLIT_VERSION:
        _refuse(part, "rows are now split differently")
    table = next(table for table in ALL_TABLES if table.name == part["table"])
    define_written(database)
    old = read_parquet(database, path)
    line, fault = ColumnExpression("line"), ColumnExpression("fault")
    rows = old.project(
        "line_number",
        CaseExpression(line.isnotnull(), fault).alias("fault"),  # else of an ambiguous number
        "line",
        "has_nul",
        *(_cell(column, old, part).alias(column.name) for column in table.columns),
    )
    with writing(target, duckdb.IOException):
        write_parquet(type_rows(rows, table), target)
        ambiguous = find_ambiguous_columns(database, table, target)
        void_ambiguous_numbers(database, ambiguous, target)


def _cell(column: Column, old: DuckDBPyRelation, part: Part) -> duckdb.Expression:
    """The column's cell as it was spelled; NULL where the part lacks an optional column."""
    types = dict(zip(old.columns, map(str, old.types), strict=True))
    if column.name in types:
        kind = _KINDS.get(types[column.name])
        if kind is None:
            _refuse(part, f"the column {column.name} is of the unknown type {types[column.name]}")
        return written(Column(column.name, kind, column.description))
    if not column.is_optional:
        _refuse(part, f"the column {column.name} is missing")
    return ConstantExpression(None).cast("varchar")


def _refuse(part: Part, reason: str) -> NoReturn:
    raise ConfigurationError(
        f"the stored rows of {part['name']} (version {reader_version(part)} of the reader) cannot "
        f"be converted to version {READER_VERSION}: {reason}. Load a snapshot, which is read anew"
    )
