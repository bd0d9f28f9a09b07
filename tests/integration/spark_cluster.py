"""A standalone Spark cluster on this machine, whose driver also serves Spark Connect."""

import importlib.util
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import waiting
from receivers import free_port

# For programs that run a minute, the JVM's optimizing compiler and its parallel garbage collector
# cost more time than they save. The driver gets an executor on each of the two workers, and is
# Spark's own server of Spark Connect as well: every JVM takes seconds to start.
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
DEFAULTS = f"""
spark.cores.max 2
spark.executor.cores 1
spark.driver.memory 512m
spark.driver.extraJavaOptions {JVM}
spark.executor.memory 512m
spark.executor.extraJavaOptions {JVM}
spark.sql.shuffle.partitions 2
spark.plugins org.apache.spark.sql.connect.SparkConnectPlugin
spark.connect.grpc.binding.port {{connect_port}}
"""


def require_spark() -> Path:
    """Returns PySpark's folder; without it or Java, skips the test, or fails it in CI."""
    pyspark = importlib.util.find_spec("pyspark")
    if pyspark and pyspark.origin and shutil.which("java"):
        return Path(pyspark.origin).parent
    reason = "Spark needs Java 17 or newer, and scripts/setup.sh --spark"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Cluster:
    """A master and its workers."""

    folder: Path
    """Holds logs, the workers' files, and the drivers' temporary files."""
    port: int
    status_port: int
    connect_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """The master, then the workers."""

    @property
    def master(self) -> str:
        """The master's URL."""
        return f"spark://127.0.0.1:{self.port}"

    @property
    def connect_url(self) -> str:
        """Where the driver serves Spark Connect."""
        return f"sc://127.0.0.1:{self.connect_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of drivers and daemons."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.folder),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_CONF_DIR": str(self.folder / "conf"),
            "SPARK_DAEMON_MEMORY": "512m",
            "SPARK_DAEMON_JAVA_OPTS": JVM,
        }

    def status(self) -> dict[str, Any]:
        """Returns what the master reports about the cluster."""
        url = f"http://127.0.0.1:{self.status_port}/json/"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def start(self, *command: str | Path) -> None:
        """Starts a program as part of the cluster."""
        with (self.folder / "log").open("a") as log:
            self.processes.append(
                subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=log, cwd=self.folder
                )
            )

    def kill_worker(self) -> None:
        """Kills a worker and its executors, as if its host were lost."""
        worker = psutil.Process(self.processes[1].pid)
        for process in (*worker.children(recursive=True), worker):
            process.kill()

    def stop(self) -> None:
        """Stops everything, the latest first."""
        while self.processes:
            process = self.processes.pop()
            process.terminate()
            process.wait(60)

    def is_complete(self) -> bool:
        """Whether both workers have reported."""
        try:
            return bool(self.status()["aliveworkers"] == WORKERS)
        except (urllib.error.URLError, OSError, ValueError):
            return False


WORKERS = 2


wait_until = partial(waiting.wait_until, every=0.5)  # JVMs start slowly while other tests run


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Runs a master and two workers, with room for one application."""
    program = require_spark() / "bin" / "spark-class"
    cluster = Cluster(folder, free_port(), free_port(), free_port())
    defaults = DEFAULTS.format(connect_port=cluster.connect_port)
    (folder / "conf").mkdir()
    (folder / "conf" / "spark-defaults.conf").write_text(defaults)
    deploy = "org.apache.spark.deploy"
    local = ("--host", "127.0.0.1")
    ports = ("--port", str(cluster.port), "--webui-port", str(cluster.status_port))
    size = ("--cores", "1", "--memory", "512m")
    own = (*size, "--webui-port", "0", "--work-dir", str(folder / "work"))
    try:
        cluster.start(program, f"{deploy}.master.Master", *local, *ports)
        for _ in range(WORKERS):
            cluster.start(program, f"{deploy}.worker.Worker", *local, *own, cluster.master)
        wait_until("both workers have reported", cluster.is_complete)
        yield cluster
    finally:
        cluster.stop()
