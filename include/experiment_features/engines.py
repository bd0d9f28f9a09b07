"""Where rules and features are computed: the same Narwhals expressions on pandas, DuckDB or Spark.

Frames are lazy, integers stay integers (nullable where they may be missing), and all engines give
the same rows.
"""

from pathlib import Path
from typing import Any, Protocol

import duckdb
import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq

from experiment_features.config import Settings
from experiment_features.duck import open_duckdb
from experiment_features.errors import ConfigurationError

Frame = nw.LazyFrame[Any]

ENGINES = ("auto", "pandas", "duckdb", "spark")

LARGE_DROP_ROWS = 10_000
"""`auto` takes DuckDB for drops with more experiments. Spark is taken by name only: where its
cluster is, and whether it is worth the way, nobody can guess."""


class Engine(Protocol):
    """Reads and writes frames, and does what Narwhals has no word for."""

    name: str

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all in a folder; a column that one lacks is NULL."""

    def write(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame, writes it to a Parquet file, and returns what is written."""

    def persist(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, however often the returned one is used; may use the path."""
        return self.write(frame, path)

    def without(self, frame: Frame, others: Frame, key: str) -> Frame:
        """The rows of which the ``key`` is not among the others'. No key is NULL."""
        return frame.join(others.select(key), on=key, how="anti")

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending. All else is dropped."""


class PandasEngine(Engine):
    """Everything in memory, with Arrow-backed columns: for everyday drops."""

    name = "pandas"

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all Parquet files in a folder."""
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        tables = [pq.ParquetFile(file).read() for file in files]
        table = pa.concat_tables(tables, promote_options="default")
        return _in_pandas(table)

    def write(self, frame: Frame, path: Path) -> Frame:
        """Writes the frame, which is computed already, to a Parquet file."""
        pq.write_table(frame.collect("pyarrow").to_native(), path)
        return frame

    def persist(self, frame: Frame, path: Path) -> Frame:  # noqa: ARG002
        """The frame, which is computed already."""
        return frame

    def without(self, frame: Frame, others: Frame, key: str) -> Frame:
        """The rows of which the ``key`` is not among the others'."""
        rows = frame.to_native()  # Narwhals' anti-join takes seven times as long
        left: Frame = nw.from_native(rows[~rows[key].isin(others.to_native()[key])]).lazy()
        return left

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending."""
        table = frame.select(key, value).sort(key, value).collect("pyarrow").to_native()
        lists = table.group_by(key).aggregate([(value, "list")])
        lists = lists.rename_columns({f"{value}_list": value})
        return _in_pandas(lists)


def _in_pandas(table: pa.Table) -> Frame:
    import pandas as pd  # here: a run on DuckDB need not wait for it

    frame: Frame = nw.from_native(table.to_pandas(types_mapper=pd.ArrowDtype)).lazy()
    return frame


class DuckDBEngine(Engine):
    """Out of core: for drops that are larger than memory, and faster on large ones."""

    name = "duckdb"

    def __init__(self, spill: Path) -> None:
        """Opens a database in memory that spills to a folder."""
        self._database = open_duckdb(spill)

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all Parquet files in a folder."""
        files = str(path / "*.parquet") if path.is_dir() else str(path)
        return nw.from_native(self._database.read_parquet(files, union_by_name=True))

    def write(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, however often the returned one is used."""
        frame.sink_parquet(path)
        return self.read(path)

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending."""
        relation = frame.select(key, value).to_native()
        items = duckdb.SQLExpression("list(item order by item)").alias(value)
        renamed = relation.project(
            duckdb.ColumnExpression(key), duckdb.ColumnExpression(value).alias("item")
        )
        gathered: Frame = nw.from_native(
            renamed.aggregate([duckdb.ColumnExpression(key), items], key)
        )
        return gathered


def choose_engine(
    name: str, experiments: int, spill: Path, spark_master: str = Settings.spark_master
) -> Engine:
    """The engine of that name; ``auto`` goes by the number of experiments.

    Raises:
        ConfigurationError: there is no such engine, or what it needs is not installed.
        EngineUnavailable: Spark cannot be reached.
    """
    if name not in ENGINES:
        raise ConfigurationError(f"engine is {name!r}: expected one of {', '.join(ENGINES)}")
    if name == "auto":
        name = "duckdb" if experiments > LARGE_DROP_ROWS else "pandas"
    if name == "spark":
        from experiment_features.spark import SparkEngine  # PySpark need not be installed

        return SparkEngine(spark_master)
    return PandasEngine() if name == "pandas" else DuckDBEngine(spill)
