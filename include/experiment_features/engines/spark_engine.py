"""The engine for drops beyond one machine: Apache Spark, on any master or by Spark Connect.

Only Spark's own expressions run there, so its executors need no Python. They read and write the
run's workspace: its folder must be the same one on every host.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import narwhals as nw
import pyarrow.parquet as pq

from experiment_features.contract import position_of
from experiment_features.engines.arrow import batches
from experiment_features.engines.engine import Engine, Frame
from experiment_features.engines.spark_session import (
    open_session,
    shown_master,
    spark_errors,
    translated,
)
from experiment_features.errors import ConfigurationError


class SparkEngine(Engine):
    """Out of core and on many hosts."""

    name = "spark"

    def __init__(self, master: str) -> None:
        """Opens a session, which lasts as long as the process.

        Args:
            master: the URL of a master, such as ``spark://host:7077`` or ``local[*]``, or of a
                Spark Connect server, ``sc://host:15002``; or ``sail``, for one in this process.

        Raises:
            ConfigurationError: PySpark, Sail or Java is not installed, or of another version.
            EngineUnavailable: the cluster cannot be reached.
        """
        self._master = master
        self._opened = open_session(master)

    @property
    def version(self) -> str:
        """The release of Spark that the cluster runs, or of Sail with its name."""
        return self._opened.version

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what Spark raises into an error of ours; trying again may help, or not."""
        try:
            yield
        except spark_errors() as error:
            raise translated(error, self._master) from error

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all Parquet files in a folder."""
        from pyspark.errors import PySparkException

        place = self._uri(path)
        if not self._opened.is_sail:
            place = re.sub(r"([\\{}\[\]*?])", r"\\\1", place)  # it takes patterns
        try:
            found = self._opened.session.read.parquet(place)
            is_there = bool(found.columns)  # Sail does not miss a file
        except PySparkException as error:
            if error.getCondition() != "PATH_NOT_FOUND":
                raise
            is_there = False
        if not is_there:
            raise self._not_shared(path)
        frame: Frame = nw.from_native(found)
        return frame

    def read_parts(self, parts: Sequence[Path], first: int = 1) -> Frame:
        """The rows of a table's parts, each with its position."""
        return nw.concat(
            [
                self.read(part).with_columns(
                    position=nw.col("line_number") + position_of(number, 0)
                )
                for number, part in enumerate(parts, start=first)
            ]
        )

    def write(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame and writes it to one Parquet file, which others can read.

        Spark keeps the order of a sorted frame; Sail does not.
        """
        parts = path.with_suffix(".parts")
        self._compute(frame, parts)
        files = sorted(parts.glob("*.parquet"), key=lambda file: (len(file.name), file.name))
        if len(files) == 1:
            files[0].replace(path)
        else:
            with pq.ParquetWriter(path, pq.read_schema(files[0])) as writer:
                for batch in chain.from_iterable(map(batches, map(pq.ParquetFile, files))):
                    writer.write_batch(batch)
        shutil.rmtree(parts)
        return self.read(path)

    def persist(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, into a folder to which every executor writes its part."""
        self._compute(frame, path)
        return self.read(path)

    def _compute(self, frame: Frame, folder: Path) -> None:
        """Computes the frame and writes it to Parquet files in a folder: at least one."""
        rows = frame.to_native()
        shutil.rmtree(folder, ignore_errors=True)
        rows.write.mode("overwrite").parquet(self._uri(folder))
        if any(folder.glob("*.parquet")):
            return
        first = rows.limit(1).toArrow()
        if first.num_rows:
            raise self._not_shared(folder)
        folder.mkdir(exist_ok=True)
        pq.write_table(first, folder / "no_rows.parquet")  # Sail writes none

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending."""
        functions = self._opened.functions
        items = functions.sort_array(functions.collect_list(value)).alias(value)
        gathered: Frame = nw.from_native(
            frame.select(key, value).to_native().groupBy(key).agg(items)
        )
        return gathered

    def _uri(self, path: Path) -> str:
        """The path as Spark takes it: alone, it might be one of the cluster's own file system."""
        place = str(path.absolute())
        return f"file://{quote(place) if self._opened.is_sail else place}"

    def _not_shared(self, path: Path) -> ConfigurationError:
        return ConfigurationError(
            f"Spark at {shown_master(self._master)} has {path.name}, but not in {path.parent}: "
            "EXPERIMENT_FEATURES_WORKSPACES must be the same folder on all of its hosts"
        )
