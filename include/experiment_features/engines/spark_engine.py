"""The engine for drops beyond one machine: Apache Spark, on any master or by Spark Connect.

Only Spark's own expressions run there, so its executors need no Python. They read and write the
run's workspace: its folder must be the same one on every host.
"""

import os
import re
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import narwhals as nw

from experiment_features.contract import position_of
from experiment_features.engines.engine import Engine, Frame
from experiment_features.errors import ConfigurationError, EngineUnavailable

_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
}
"""What a session of ours needs; memory, cores and all else come from SPARK_CONF_DIR."""

_PORTS = {"spark": 7077, "sc": 15002}
"""Where masters and servers of Spark Connect listen, if the URL does not say."""


class SparkEngine(Engine):
    """Out of core and on many hosts."""

    name = "spark"

    def __init__(self, master: str) -> None:
        """Opens a session, which lasts as long as the process.

        Args:
            master: the URL of a master, such as ``spark://host:7077`` or ``local[*]``, or of a
                Spark Connect server, ``sc://host:15002``.

        Raises:
            ConfigurationError: PySpark or Java is not installed.
            EngineUnavailable: the cluster cannot be reached.
        """
        self._master = master
        with self._errors():
            self._session = _open_session(master)

    @property
    def version(self) -> str:
        """The release of Spark that the cluster runs."""
        with self._errors():
            return str(self._session.version)

    def read(self, path: Path) -> Frame:
        """The rows of a Parquet file, or of all Parquet files in a folder."""
        with self._errors():
            place = re.sub(r"([\\{}\[\]*?])", r"\\\1", _uri(path))  # it takes patterns
            frame: Frame = nw.from_native(self._session.read.parquet(place))
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
        """Computes the frame and writes it to one Parquet file, which others can read."""
        parts = path.with_suffix(".parts")
        with self._errors():
            frame.to_native().repartition(1).write.mode("overwrite").parquet(_uri(parts))
        found = list(parts.glob("part-*.parquet"))
        if len(found) != 1:
            raise ConfigurationError(
                f"Spark at {self._master} has written {path.name}, but not into {path.parent}: "
                "EXPERIMENT_FEATURES_WORKSPACES must be the same folder on all of its hosts"
            )
        found[0].replace(path)
        shutil.rmtree(parts)
        return self.read(path)

    def persist(self, frame: Frame, path: Path) -> Frame:
        """Computes the frame once, into a folder to which every executor writes its part."""
        with self._errors():
            frame.to_native().write.mode("overwrite").parquet(_uri(path))
        return self.read(path)

    def gather(self, frame: Frame, key: str, value: str) -> Frame:
        """One row per ``key`` with the list of its ``value``s, ascending."""
        from pyspark.sql import functions

        items = functions.sort_array(functions.collect_list(value)).alias(value)
        gathered: Frame = nw.from_native(
            frame.select(key, value).to_native().groupBy(key).agg(items)
        )
        return gathered

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turns what Spark raises into an error after which trying again may help."""
        try:
            from py4j.protocol import Py4JError
            from pyspark.errors import PySparkException
        except ImportError:
            raise ConfigurationError(
                "the engine spark needs PySpark, which is not installed: run scripts/setup.sh "
                "--spark, or install requirements/spark.txt"
            ) from None
        try:
            yield
        except (PySparkException, Py4JError, OSError, ValueError) as error:
            raise EngineUnavailable(
                f"Spark at {self._master} failed: {_reason(error)}. Check that its master "
                "and workers are running, have memory, and can write to the workspace"
            ) from error


def _open_session(master: str) -> Any:
    from pyspark.sql import SparkSession

    _knock(master)
    builder = SparkSession.builder.appName("experiment_features")
    if master.startswith("sc://"):
        return builder.remote(master).getOrCreate()
    java_home = os.environ.get("JAVA_HOME")
    if not shutil.which(f"{java_home}/bin/java" if java_home else "java"):
        raise ConfigurationError(
            "the engine spark needs Java 17 or newer, which was not found: install it "
            "(Debian, Ubuntu: apt install default-jre-headless), or name its folder in JAVA_HOME"
        )
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    return builder.master(master).getOrCreate()


def _knock(master: str) -> None:
    """Checks that something answers: Spark itself waits for minutes, Spark Connect for ten.

    Raises:
        OSError: nothing does.
    """
    scheme, _, rest = master.partition("://")
    if scheme not in _PORTS:
        return
    *others, last = rest.partition("/")[0].split(",")
    for address in others:
        with suppress(OSError):
            _connect(address, _PORTS[scheme])
            return
    _connect(last, _PORTS[scheme])


def _connect(address: str, default_port: int) -> None:
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port or default_port)), timeout=10).close()


def _uri(path: Path) -> str:
    """The path as Spark takes it: a path alone might be one of the cluster's own file system."""
    return f"file://{path.absolute()}"


def _reason(error: Exception) -> str:
    """The first line of what is wrong: of the JVM's own error, if there is one."""
    cause = str(getattr(error, "java_exception", None) or error) or type(error).__name__
    return cause.strip().partition("\n")[0]
