"""Export: the snapshot in force, as the files of a drop that gives the same when it is loaded.

Every cell is as it was spelled. What a row alone does not say has to be so again: which rows of an
id come first, and whether a file has decimal commas. So one table may become several files.
"""

import csv
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import reduce
from operator import or_
from pathlib import Path
from typing import NamedTuple, cast

import duckdb
from duckdb import (
    CaseExpression,
    ColumnExpression,
    ConstantExpression,
    DuckDBPyRelation,
    Expression,
    FunctionExpression,
)

from experiment_features.contract import TABLES, Kind, Table
from experiment_features.engines.duckdb_engine import DuckDBEngine
from experiment_features.errors import ConfigurationError, WorkspaceUnavailable
from experiment_features.reading.decimal_marks import define_marks, is_ambiguous, shows_thousands
from experiment_features.store.layers import Layers, is_readable
from experiment_features.store.written_cells import define_written, written
from experiment_features.workspace import reason_of

_SQL = Path(__file__).parent / "sql"

_COMMAS = "0,0"
"""A number that shows that its file has decimal commas."""


class ExportedFile(NamedTuple):
    """A file that was written."""

    table: str
    name: str
    rows: int


def export(layers: Layers, folder: Path, *, memory_limit: str, spill: Path) -> list[ExportedFile]:
    """Writes the rows in force with a readable id to a new folder, rejected ones included.

    Args:
        layers: have the rows.
        folder: what must not be there yet, or be empty; it gets all files at once.
        memory_limit: what DuckDB may use.
        spill: a folder for what exceeds it.

    Raises:
        ConfigurationError: the folder is not empty, or is no folder.
        WorkspaceUnavailable: it cannot be written.
    """
    with _new_folder(folder) as draft, closing(DuckDBEngine(memory_limit, spill)) as engine:
        define_written(engine.database)
        define_marks(engine.database)
        engine.database.execute((_SQL / "exported_cells.sql").read_text("utf-8"))
        files: list[ExportedFile] = []
        for table in TABLES:
            rows = layers.rows(table, engine).filter(is_readable(table)).to_native()
            files += _write_table(table, _in_files(_spelled(rows, table)), draft)
    return files


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yields a private folder that takes the name in the end; of an error, nothing stays."""
    try:
        target = folder.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links is one or the other
        raise ConfigurationError(f"{folder} cannot be followed: {reason_of(error)}") from error
    with ExitStack() as drafts:
        try:
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise ConfigurationError(
                    f"{folder} is not an empty folder: name one that is empty, or not there yet"
                )
            draft = target.with_name(f".draft-{uuid.uuid4().hex}")
            drafts.callback(shutil.rmtree, draft, ignore_errors=True)
            draft.mkdir(mode=0o700, parents=True)
            yield draft
            draft.rename(target)
        except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise WorkspaceUnavailable(
                f"{folder} cannot be written: {reason_of(error)}. Free disk space or memory, or "
                "choose another folder"
            ) from error


def _spelled(rows: DuckDBPyRelation, table: Table) -> DuckDBPyRelation:
    """Grain: row; columns: id, position, has_nul, shows_commas, is_ambiguous, cells (texts)."""
    numbers = [column for column in table.columns if column.kind is Kind.NUMBER]
    return rows.project(
        ColumnExpression(table.key).alias("id"),
        "position",
        "has_nul",
        _any(map(shows_thousands, numbers)).alias("shows_commas"),
        _any(map(is_ambiguous, numbers)).alias("is_ambiguous"),
        FunctionExpression("list_value", *map(written, table.columns)).alias("cells"),
    )


def _any(conditions: Iterator[Expression]) -> Expression:
    """Whether one holds; a condition that is NULL does not."""
    return CaseExpression(
        reduce(or_, conditions, ConstantExpression(False)),
        ConstantExpression(True),
    ).otherwise(ConstantExpression(False))


def _in_files(rows: DuckDBPyRelation) -> DuckDBPyRelation:
    """The rows, each with the number of its file, from 0: nearly always all in one."""
    marked = rows.filter(ColumnExpression("shows_commas") | ColumnExpression("is_ambiguous"))
    if marked.limit(1).fetchall():
        return _queried(rows, "number_files")
    return rows.project("*", ConstantExpression(0).alias("file"))


def _write_table(table: Table, rows: DuckDBPyRelation, folder: Path) -> Iterator[ExportedFile]:
    """Writes the files of a table, at least one; yields what was written."""
    described = _queried(rows, "describe_files").fetchall() or [(0, 0, 0, False)]
    for number, count, extra, lacks_commas in described:
        path = folder / f"{table}{f'_{number:04}' if number else ''}.csv"
        of_file = rows.filter(ColumnExpression("file") == ConstantExpression(number))
        ordered = of_file.sort("id", "position")
        ordered.project(*_columns(table, extra)).write_csv(str(path), header=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            if lacks_commas:
                csv.writer(file).writerow(_row_with_commas(table, extra))
            file.write("\n" * number)  # files of a table with equal bytes would be refused
        yield ExportedFile(table.name, path.name, count + lacks_commas)


def _queried(rows: DuckDBPyRelation, script: str) -> DuckDBPyRelation:
    """What a script selects from the rows, under the name of exported_rows."""
    query = (_SQL / f"{script}.sql").read_text("utf-8")
    return cast("DuckDBPyRelation", rows.query("exported_rows", query))


def _columns(table: Table, extra: int) -> Iterator[Expression]:
    """The columns of a file: extra ones, which readers ignore, and those of the table."""
    has_nul, cells = ColumnExpression("has_nul"), ColumnExpression("cells")
    for number in range(1, extra + 1):
        cell = FunctionExpression("ignored_cell", has_nul, cells, ConstantExpression(number))
        yield cell.alias(f"ignored_{number}")
    for number, name in enumerate(table.column_names, start=1):
        yield FunctionExpression("list_extract", cells, ConstantExpression(number)).alias(name)


def _row_with_commas(table: Table, extra: int) -> Sequence[str]:
    """A row without an id, which leaves ambiguous what the replaced rows of its file made so."""
    kinds = [column.kind for column in table.columns]
    return [*[""] * extra, *(_COMMAS if kind is Kind.NUMBER else "" for kind in kinds)]
