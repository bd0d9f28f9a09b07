"""Sessions of Spark: on a master, by Spark Connect, or on Sail in this process."""

import os
import re
import shutil
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

from experiment_features.errors import ConfigurationError, EngineUnavailable, PipelineError

SAIL = "sail"
"""The master that is a server of Sail (https://docs.lakesail.com) in this process."""

_CONNECT = "sc://"

_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
}
"""What a session of ours needs; memory, cores and all else come from SPARK_CONF_DIR."""

_PORTS = {"spark": 7077, "sc": 15002}
"""Where masters and servers of Spark Connect listen, if the URL does not say."""

_RETRIES = {"max_retries": 5, "initial_backoff": 500, "backoff_multiplier": 2.0}
"""Some 15 s in all, in milliseconds. By default, it would be ten minutes; but sessions end with
their server, so that one which was restarted does not help."""

_REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED")
"""States of gRPC in which trying again does not help; the last is that of another service."""

_NO_STORAGE = re.compile(
    r"status code: 40[134]|IMDS is disabled|loading credentials"  # Sail, and Amazon's own library
    r"|NoAuthWithAWSException|S3AFileSystem not found|No FileSystem for scheme",
    re.IGNORECASE,
)
"""Says that a cluster cannot use object storage, and trying again does not help."""

_opened: dict[str, "Opened"] = {}
"""What was opened by Spark Connect, by URL."""


class Opened(NamedTuple):
    """A session, and what it is on."""

    session: Any
    functions: ModuleType
    """Those that make its expressions."""
    version: str
    """The release of Spark, or of Sail with its name."""
    is_sail: bool = False


def open_session(master: str) -> Opened:
    """Opens a session, which lasts as long as the process, or until it fails.

    Raises:
        ConfigurationError: what it needs is not installed, or the server is of another version.
        EngineUnavailable: the cluster or server cannot be reached.
    """
    _require_installed(master)
    troubles: tuple[type[Exception], ...] = (*spark_errors(), OSError, ValueError)
    try:
        with without_warnings():
            if master == SAIL or master.startswith(_CONNECT):
                return _connect(master)
            return _join(master)
    except troubles as error:
        raise translated(error, master) from error


def spark_errors() -> tuple[type[Exception], ...]:
    """What Spark raises. By Spark Connect, there need be no Py4J."""
    from pyspark.errors import PySparkException

    if not find_spec("py4j"):
        return (PySparkException,)
    from py4j.protocol import Py4JError

    return PySparkException, Py4JError


@contextmanager
def without_warnings() -> Iterator[None]:
    """Leaves out what PySpark would tell standard error, but is said elsewhere or says nothing."""
    with warnings.catch_warnings():
        for start in ("PySpark does not yet fully support pandas", r"\[RETRIES_EXCEEDED\]"):
            warnings.filterwarnings("ignore", start)
        yield


def translated(error: Exception, master: str) -> PipelineError:
    """What Spark, or the connection to it, has raised, as an error of ours."""
    if opened := _opened.pop(master, None):
        with without_warnings():
            opened.session.client.close()  # or the process would wait for it at its end
    status = getattr(error, "getGrpcStatusCode", lambda: None)()
    failed = f"Spark at {shown_master(master)} failed: {_reason(error)}"
    if status and status.name in _REFUSALS:
        return ConfigurationError(
            f"{failed}. Check that a server of Spark Connect listens there, and admits this user"
        )
    if _NO_STORAGE.search(str(error)):
        return ConfigurationError(
            f"{failed}. Give it what it needs to use object storage: see docs/scaling.md"
        )
    return EngineUnavailable(
        f"{failed}. Check that its master or server and its workers are running, have memory, and "
        "can write to the workspace"
    )


def shown_master(master: str) -> str:
    """The master without its parameters, which may hold a token."""
    return master.partition("/;")[0]


def _require_installed(master: str) -> None:
    option, packages = "spark", ["pyspark", "py4j"]
    if master == SAIL:
        option, packages = "sail", ["pyspark", "grpc", "pysail"]
    elif master.startswith(_CONNECT):
        option, packages = "connect", ["pyspark", "grpc"]
    missing = [package for package in packages if not find_spec(package)]
    if missing:
        raise ConfigurationError(
            f"the engine spark at {shown_master(master)} needs {' and '.join(missing)}, not "
            f"installed here: run scripts/setup.sh --{option}, or see docs/scaling.md"
        )


def _join(master: str) -> Opened:
    """A session on a master; its driver runs in a Java that this process starts."""
    from pyspark.sql import SparkSession, functions

    _knock(master)
    java_home = os.environ.get("JAVA_HOME")
    if not shutil.which(f"{java_home}/bin/java" if java_home else "java"):
        raise ConfigurationError(
            "the engine spark needs Java 17 or newer, which was not found: install it "
            "(Debian, Ubuntu: apt install default-jre-headless), or name its folder in JAVA_HOME"
        )
    builder = SparkSession.builder.appName("experiment_features").config(map=_SETTINGS)
    session = builder.master(master).getOrCreate()
    return Opened(session, functions, session.version)


def _connect(master: str) -> Opened:
    """A session by Spark Connect.

    Not by the builder that PySpark has for all sessions: it refuses one beside one on a master.
    """
    with _as_a_program():
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession

    if master in _opened:
        return _opened[master]
    url = master
    if master == SAIL:
        url = "{}{}:{}".format(_CONNECT, *_start_sail().listening_address)
    _knock(url)
    session = SparkSession.builder.remote(url).create()
    session.client.set_retry_policies([DefaultPolicy(**_RETRIES)])
    try:
        _opened[master] = _examine(session, master)
    except Exception:
        session.client.close()  # as in translated
        raise
    return _opened[master]


@contextmanager
def _as_a_program() -> Iterator[None]:
    """Gives the main module a file, if it has none, as in the processes of Airflow's tasks.

    PySpark takes such a process for its own doctests, imports its tests, and ends it
    if there is no Spark (pyspark.sql.connect.utils.check_dependencies).
    """
    main = sys.modules["__main__"]
    if hasattr(main, "__file__"):
        yield
        return
    main.__file__ = __file__
    try:
        yield
    finally:
        del main.__file__


def _examine(session: Any, master: str) -> Opened:
    """What a session by Spark Connect is on."""
    from pyspark.sql.connect import functions

    version = session.version
    _refuse_other_version(version, master)
    session.conf.set("spark.sql.session.timeZone", "UTC")
    release = session.sql("select version()").collect()[0][0]
    if release.startswith(version):
        return Opened(session, functions, version)
    return Opened(session, functions, f"Sail {release}", is_sail=True)  # takes on PySpark's version


def _refuse_other_version(version: str, master: str) -> None:
    from pyspark import __version__ as own

    if version.partition(".")[0] != own.partition(".")[0]:
        raise ConfigurationError(
            f"Spark at {shown_master(master)} is version {version}, and PySpark here is {own}: "
            "expected the same major version"
        )


@cache
def _start_sail() -> Any:
    """A server of Sail, which ends with this process."""
    os.environ.setdefault("RUST_LOG", "error")  # it would tell standard error of each session
    server = import_module("pysail.spark").SparkConnectServer()
    server.start(background=True)
    return server


def _knock(master: str) -> None:
    """Checks that something answers: Spark itself waits for minutes.

    Raises:
        OSError: nothing does.
    """
    scheme, _, rest = master.partition("://")
    if scheme not in _PORTS:
        return
    *others, last = rest.partition("/")[0].split(",")
    for address in others:
        with suppress(OSError):
            _probe(address, _PORTS[scheme])
            return
    _probe(last, _PORTS[scheme])


def _probe(address: str, default_port: int) -> None:
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port or default_port)), timeout=10).close()


def _reason(error: Exception) -> str:
    """The first line of what is wrong: of the JVM's own error, or gRPC's, if there is one."""
    cause = str(getattr(error, "java_exception", None) or error) or type(error).__name__
    details = re.search(r'details = "(.*)"', cause)
    return details[1] if details else cause.strip().partition("\n")[0].rstrip(": ")
