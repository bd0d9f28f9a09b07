"""DuckDB: the engine for large drops, and the database in which stages type and describe rows."""

from collections.abc import Collection, Generator, Sequence
from glob import escape
from pathlib import Path

import duckdb
import narwhals as nw
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression

from experiment_features.contract import LINES_PER_FILE, Kind
from experiment_features.engines.engine import Engine, Frame

_GROUP_BYTES = 16 * 2**20

_BATCH_ROWS = 2**17

_FILE_INDEX = ColumnExpression("file_index").cast("bigint")


class DuckDBEngine(Engine):
    """Out of core: for drops that are larger than memory, and faster on large ones."""

    name = "duckdb"

    def __init__(self, memory_limit: str, spill: Path) -> None:
        """Opens a database in memory that spills to a folder."""
        self.database = open_duckdb(memory_limit, spill)

    def close(self) -> None:
        """Closes the database, and with it all frames."""
        self.database.close()

    @property
    def version(self) -> str:
        """The release of DuckDB."""
        return duckdb.__version__

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file."""
        return nw.from_native(read_parquet(self.database, path))

    def read_parts(self, parts: Sequence[Path], first: int = 1) -> Frame:
        """The rows of a table's parts, each with its position."""
        return nw.from_native(read_parts(self.database, parts, first))

    def write(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, however often the returned one is used."""
        write_parquet(frame.to_native(), path)
        return self.read(path)

    def batches(self, frame: Frame) -> Generator[pa.RecordBatch]:
        """The rows as they are computed, in any order."""
        with frame.to_native().to_arrow_reader(_BATCH_ROWS) as reader:
            yield from reader

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending."""
        relation = frame.select(key, value).to_native()
        items = duckdb.SQLExpression("list(item order by item)").alias(value)
        renamed = relation.project(ColumnExpression(key), ColumnExpression(value).alias("item"))
        gathered: Frame = nw.from_native(renamed.aggregate([ColumnExpression(key), items], key))
        return gathered


def open_duckdb(memory_limit: str, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Opens a database in memory; the caller closes it.

    Args:
        memory_limit: such as ``4GiB``.
        spill: the folder that takes what exceeds the limit; without one, exceeding it is an error.
    """
    if spill:  # DuckDB makes this folder when it needs it, but none above it
        spill.parent.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    database.execute("set enable_progress_bar = false")  # it would go to standard output
    database.execute("set preserve_insertion_order = false")
    # Else it is read for each query, and twice to make one: 5 ms each time, with ten million rows.
    database.execute("set parquet_metadata_cache = true")
    database.execute("set memory_limit = $limit", {"limit": memory_limit})
    database.execute("set temp_directory = $folder", {"folder": str(spill or "")})
    return database


def read_parquet(database: duckdb.DuckDBPyConnection, *files: Path) -> duckdb.DuckDBPyRelation:
    """The rows of Parquet files with the same columns.

    Names are taken literally: DuckDB would treat them as patterns, and ``key=value`` as a column.
    """
    literal = [escape(str(file)) for file in files]
    return database.read_parquet(literal, hive_partitioning=False)


def read_parts(
    database: duckdb.DuckDBPyConnection, parts: Sequence[Path], first: int = 1
) -> duckdb.DuckDBPyRelation:
    """The rows of a table's parts, each with its position (contract.position_of).

    Args:
        database: reads them.
        parts: their files.
        first: the number of the first one.
    """
    return _read_numbered(database, parts, _FILE_INDEX + first)


def read_some_parts(
    database: duckdb.DuckDBPyConnection, numbered: Collection[tuple[Path, int]]
) -> duckdb.DuckDBPyRelation:
    """The rows of parts with any numbers, as those of read_parts, in one scan.

    Args:
        database: reads them.
        numbered: their files, each with its number.
    """
    parts, numbers = zip(*numbered, strict=True)
    index = _FILE_INDEX + 1
    number = duckdb.FunctionExpression("list_extract", ConstantExpression([*numbers]), index)
    return _read_numbered(database, parts, number.cast("bigint"))


def _read_numbered(
    database: duckdb.DuckDBPyConnection, parts: Sequence[Path], number: duckdb.Expression
) -> duckdb.DuckDBPyRelation:
    position = number * LINES_PER_FILE + ColumnExpression("line_number")
    return read_parquet(database, *parts).project("*", position.alias("position"))


def write_parquet(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Writes rows to a Parquet file, in groups limited in bytes so that long texts fit into memory.

    Readers take a group or less at a time, whatever the memory limit.
    """
    relation.write_parquet(str(path), row_group_size_bytes=_GROUP_BYTES)


def call_macro(kind: Kind, step: str, *arguments: duckdb.Expression) -> duckdb.Expression:
    """What the macro ``<kind>_<step>`` returns: see contract.py."""
    return duckdb.FunctionExpression(f"{kind.name.lower()}_{step}", *arguments)
