"""The engine for drops beyond one machine: Apache Spark, on any master or by Spark Connect.

Only Spark's own expressions run there, so its executors need no Python. They read and write the
run's parts and workspace: in object storage, or in a folder that is the same one on every host.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import narwhals as nw
import pyarrow.parquet as pq

from experiment_features.contract import position_of
from experiment_features.engines.engine import Engine, Frame
from experiment_features.engines.spark_session import (
    open_session,
    shown_master,
    spark_errors,
    translated,
    without_warnings,
)
from experiment_features.errors import ConfigurationError
from experiment_features.workspace import Copy

_SCHEMES = {"s3": "s3a"}
"""What Spark calls a scheme by another name: Hadoop's file system for S3 is s3a."""


class SparkEngine(Engine):
    """Out of core and on many hosts."""

    name = "spark"

    def __init__(self, master: str, copies: Sequence[Copy] = ()) -> None:
        """Opens a session, which lasts as long as the process.

        Args:
            copies: of folders that the cluster has in object storage; the first one that holds a
                path counts.
            master: the URL of a master, such as ``spark://host:7077`` or ``local[*]``, or of a
                Spark Connect server, ``sc://host:15002``; or ``sail``, for one in this process.

        Raises:
            ConfigurationError: PySpark, Sail or Java is not installed, or of another version.
            EngineUnavailable: the cluster cannot be reached.
        """
        self._master = master
        self._copies = copies
        self._opened = open_session(master)

    @property
    def version(self) -> str:
        """The release of Spark that the cluster runs, or of Sail with its name."""
        return self._opened.version

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns what Spark raises into an error of ours; trying again may help, or not."""
        try:
            with without_warnings():
                yield
        except spark_errors() as error:
            raise translated(error, self._master) from error

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all Parquet files in a folder."""
        from pyspark.errors import PySparkException

        if copy := self._copy(path):
            copy.store(path)  # what the task itself has written
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
            raise self._not_found(path)
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
        """Computes the frame into a folder of Parquet files, and fetches a copy of them.

        Spark keeps the order of a sorted frame; Sail does not.
        """
        rows = self.persist(frame, path)
        if copy := self._copy(path):
            copy.fetch(path)
        return rows

    def persist(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, into a folder to which every executor writes its part."""
        rows, copy = frame.to_native(), self._copy(path)
        if path.is_file():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)
        if copy:
            copy.remove(path)
        rows.write.mode("overwrite").parquet(self._uri(path))
        written = copy.files(path) if copy else [file.name for file in path.glob("*")]
        if not any(name.endswith(".parquet") for name in written):
            first = rows.limit(1).toArrow()
            if first.num_rows:
                raise self._not_found(path)
            path.mkdir(parents=True, exist_ok=True)
            pq.write_table(first, path / "no_rows.parquet")  # Sail writes none
        return self.read(path)

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending."""
        functions = self._opened.functions
        items = functions.sort_array(functions.collect_list(value)).alias(value)
        gathered: Frame = nw.from_native(
            frame.select(key, value).to_native().groupBy(key).agg(items)
        )
        return gathered

    def _uri(self, path: Path) -> str:
        """The place as Spark takes it: a path alone might be one of the cluster's file system."""
        copy = self._copy(path)
        uri = copy.uri(path) if copy else f"file://{path.absolute()}"
        scheme, _, place = uri.partition("://")
        return f"{_SCHEMES.get(scheme, scheme)}://{quote(place) if self._opened.is_sail else place}"

    def _copy(self, path: Path) -> Copy | None:
        return next((copy for copy in self._copies if copy.holds(path)), None)

    def _not_found(self, path: Path) -> ConfigurationError:
        spark = f"Spark at {shown_master(self._master)}"
        if copy := self._copy(path):
            return ConfigurationError(
                f"{spark} does not find {copy.uri(path)}: its endpoint for object storage must be "
                "the one that tasks use. If it is, the file was removed: start the run again from "
                "the beginning"
            )
        return ConfigurationError(
            f"{spark} has {path.name}, but not in {path.parent}: EXPERIMENT_FEATURES_WORKSPACES "
            "must be the same folder on all of its hosts, or lie in object storage"
        )
