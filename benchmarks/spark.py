"""A server of Spark Connect for the benchmarks, and what the Java beside a program takes."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from sysconfig import get_path
from threading import Event, Thread

import psutil

from benchmarks.measure import Facts

HEAP = "3g"
"""As much as the pipeline may use on DuckDB for the largest drops (runs.SPARING)."""

SERVER_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"

_START_SECONDS = 120
_SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class ConnectServer:
    """A running server."""

    pid: int
    url: str
    start_seconds: float
    """Until it answered."""


def configure(folder: Path) -> dict[str, str]:
    """Writes the settings of all of Spark's Java; returns the environment that names them."""
    conf = folder / "spark-conf"
    conf.mkdir(exist_ok=True)
    settings = {
        "spark.driver.memory": HEAP,
        "spark.local.dir": folder / "spark-spill",
        "spark.ui.enabled": "false",
    }
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    (conf / "spark-defaults.conf").write_text("".join(lines))
    return {"SPARK_CONF_DIR": str(conf), "SPARK_LOCAL_IP": "127.0.0.1"}


@contextmanager
def connect_server(folder: Path, environment: dict[str, str]) -> Iterator[ConnectServer]:
    """Starts PySpark's own server, on all cores of this machine; stops it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    submit = Path(get_path("purelib")) / "pyspark" / "bin" / "spark-submit"
    settings = {"spark.master": "local[*]", "spark.connect.grpc.binding.port": port}
    options = [f"--conf={name}={value}" for name, value in settings.items()]
    command = [submit, "--class", SERVER_CLASS, *options]
    started = time.perf_counter()
    with (folder / "spark-connect.log").open("w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment}
        )
    try:
        while not _answers(port):
            if server.poll() is not None or time.perf_counter() - started > _START_SECONDS:
                sys.exit(f"Spark Connect did not start: {Path(log.name).read_text()[-2000:]}")
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - started
        yield ConnectServer(server.pid, f"sc://127.0.0.1:{port}", round(seconds, 3))
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextmanager
def java_watched(server: ConnectServer | None) -> Iterator[Facts]:
    """Yields facts that are complete at the end: CPU seconds and peak memory of the Java beside us.

    Args:
        server: counted from now on; any other Java that runs already is not.
    """
    facts: Facts = {"cpu_seconds": 0.0, "peak_mib": 0.0}
    others = {java.pid for java in _javas()}
    before = 0.0
    if server:
        others.discard(server.pid)
        before = _cpu_seconds(psutil.Process(server.pid))
        Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak begins anew
    seconds: dict[int, float] = {}
    ended = Event()

    def sample() -> None:
        peak_mib = 0.0
        for java in _javas():
            if java.pid not in others:
                with suppress(psutil.Error, OSError):
                    seconds[java.pid] = _cpu_seconds(java)
                    peak_mib += _peak_mib(java.pid)
        facts["peak_mib"] = max(facts["peak_mib"], peak_mib)

    def watch() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            sample()

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield facts
    finally:
        ended.set()
        watcher.join()
        sample()
        facts["cpu_seconds"] = sum(seconds.values()) - before


def _javas() -> list[psutil.Process]:
    """What Java runs below this process."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name() == "java":
                found.append(process)
    return found


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak_mib(pid: int) -> float:
    """The most memory that a process had at once."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0  # it has ended


def _answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
