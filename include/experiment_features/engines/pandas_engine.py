"""The engine for everyday drops: pandas, in memory."""

from collections.abc import Iterable, Sequence
from importlib import metadata
from itertools import count
from pathlib import Path

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from experiment_features.contract import position_of
from experiment_features.engines.engine import Engine, Frame


class PandasEngine(Engine):
    """Everything in memory, with Arrow-backed columns: for everyday drops."""

    name = "pandas"

    @property
    def version(self) -> str:
        """The release of pandas."""
        return metadata.version("pandas")

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file."""
        return _in_pandas(pq.ParquetFile(path).read())

    def read_parts(self, parts: Sequence[Path], first: int = 1) -> Frame:
        """The rows of a table's parts, each with its position."""
        return _in_pandas(_concat(map(_with_positions, count(first), parts)))

    def concat(self, frames: Sequence[Frame]) -> Frame:
        """The rows of frames, whose lists may be named differently, as their writers do."""
        if len(frames) == 1:
            return frames[0]
        return _in_pandas(_concat(frame.collect("pyarrow").to_native() for frame in frames))

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


def _concat(tables: Iterable[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive")


def _with_positions(number: int, part: Path) -> pa.Table:
    rows = pq.ParquetFile(part).read()
    positions = pc.add(rows["line_number"], position_of(number, 0))
    return rows.append_column("position", positions)


def _in_pandas(table: pa.Table) -> Frame:
    import pandas as pd  # here: a run on DuckDB need not wait for it

    frame: Frame = nw.from_native(table.to_pandas(types_mapper=pd.ArrowDtype)).lazy()
    return frame
