"""The engine `spark` on a cluster that shares no disk with the tasks, but object storage.

A server of Sail in a process of its own takes the place of the cluster.
"""

import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from drops import CLEAN, Drop, Part, Row, every_fault
from experiment_features.command_line import main
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import StoredPath
from experiment_features.engines import spark_session
from experiment_features.engines.spark_engine import SparkEngine
from experiment_features.errors import ConfigurationError, EngineUnavailable, PartGone
from experiment_features.pipeline import Pipeline
from features_airflow.object_storage import open_filesystem, open_workspace
from integration.running import extract_drop, features_of, make_pipeline, new_run_id, run_drop
from integration.servers import Database
from receivers import free_port
from s3_server import BUCKET, Proxy, S3Server, proxy_to
from stages import assert_as_expected
from waiting import wait_until

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.xdist_group("sail"),
    pytest.mark.filterwarnings("error:.RETRIES_EXCEEDED"),  # no user should see it
]


@dataclass
class Cluster:
    """A server of Spark Connect that can be killed and started again."""

    storage: dict[str, str]
    """The environment in which it finds object storage."""
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Its master."""
        return f"sc://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        command = ["-m", "pysail", "spark", "server", "--ip", "127.0.0.1", "--port", str(self.port)]
        environment = self.storage | {"PATH": os.environ["PATH"], "RUST_LOG": "error"}
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until("Sail listens", self._listens, every=0.05)

    def _listens(self) -> bool:
        with suppress(OSError):
            spark_session._knock(self.url)
            return True
        return False

    def kill(self) -> None:
        """Kills it, and waits for its end."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def running(storage: dict[str, str]) -> Iterator[Cluster]:
    """Runs a cluster."""
    cluster = Cluster(storage)
    cluster.start()
    try:
        yield cluster
    finally:
        if opened := spark_session._opened.pop(cluster.url, None):
            opened.session.client.close()
        cluster.kill()


@pytest.fixture(scope="module")
def proxy(s3: S3Server) -> Iterator[Proxy]:
    """Stands between the cluster and object storage."""
    with proxy_to(s3.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cluster(s3: S3Server, proxy: Proxy) -> Iterator[Cluster]:
    """A cluster that may use object storage."""
    with running(s3.environment | {"AWS_ENDPOINT_URL": proxy.url}) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def connections(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's connection, and a client of Spark Connect that gives up soon."""
    monkeypatch.setenv("AIRFLOW_CONN_LAB", s3.connection())
    monkeypatch.setitem(spark_session._RETRIES, "max_retries", 1)


@dataclass
class Hosts:
    """Tasks of runs on hosts that share nothing but object storage."""

    database: Database
    folder: Path
    """Of this test."""
    master: str

    @contextmanager
    def open(self, run_id: str = "run", **options: Any) -> Iterator[Pipeline]:
        """A run on a host that has not seen it before."""
        store, place = (
            f"s3://lab@{BUCKET}/{self.folder.name}/{name}" for name in ("store", run_id)
        )
        with open_workspace(place, run_id) as workspace:
            pipeline = make_pipeline(
                self.database,
                self.folder,
                run_id=run_id,
                store=StoredPath(store, open_filesystem(store)),
                **{"engine": "spark", "max_rejected_percent": 100, **options},
            )
            settings = replace(pipeline.settings, spark_master=self.master)
            yield replace(pipeline, workspace=workspace, settings=settings)

    def run(self, *stages: str, source: Path = Path(), run_id: str = "run", **options: Any) -> Any:
        """Runs stages, each on a host of its own; returns what the last one found."""
        for stage in stages or ("extract", "validate", "transform", "load"):
            with self.open(run_id, **options) as pipeline:
                if stage == "extract":
                    done: Any = extract_drop(pipeline, LocalPath(source))
                else:
                    done = getattr(pipeline, stage)()
        return done


@pytest.fixture
def hosts(database: Database, tmp_path: Path, cluster: Cluster) -> Hosts:
    """Tasks that use the cluster."""
    return Hosts(database, tmp_path, cluster.url)


def test_every_fault_gives_what_the_oracle_says(
    hosts: Hosts, s3: S3Server, tmp_path: Path, database: Database
) -> None:
    """Results lie in the bucket as Spark has written them, and nothing else is left there."""
    source, run_id = every_fault().write(tmp_path / "source"), new_run_id()
    result = hosts.run(source=source, run_id=run_id)
    assert (result.status, result.engine) == ("loaded", "spark")
    with hosts.open(run_id) as pipeline:
        assert_as_expected(source, pipeline.workspace)
    loaded = features_of(database)
    again = run_drop(database, source, engine="duckdb", max_rejected_percent=100, force=True)
    assert (again["inserted"], again["updated"], again["deleted"]) == (0, 0, 0)
    assert features_of(database) == loaded
    kept = s3.keys(f"{tmp_path.name}/{run_id}")
    assert any(key.startswith("compound_features.parquet/") for key in kept)
    assert not [key for key in kept if key.startswith(("scratch", "users/"))]


def test_a_delta_is_reproduced(
    hosts: Hosts, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spark also reads what the task has written of the load below, and on the command line."""
    of_delta = {
        "users": [("9", "Ida", "i@b.org", "2024-01-01"), ("x", "", "", "")],
        "user_experiments": [("50", "1", "2", "1.5")],
        "deleted_user_experiments": [("2",)],
    }
    below = CLEAN | {"user_experiments": [("1", "9", "1;2", "2.5"), ("2", "1", "2", "")]}
    steps = [("snapshot", "duckdb", below), ("delta", "spark", of_delta)]
    for mode, engine, of_tables in steps:
        parts = (Part(table, "", tuple(map(Row, rows))) for table, rows in of_tables.items())
        source = Drop(tuple(parts)).write(tmp_path / mode)
        result = hosts.run(source=source, run_id=mode, mode=mode, engine=engine)
        assert (result.status, result.engine) == ("loaded", engine)
    assert result.healed == 1
    place = f"s3://{BUCKET}/{tmp_path.name}"
    settings = {"SPARK_MASTER": hosts.master, "STORE": f"{place}/store", "WORKSPACES": f"{place}/x"}
    settings = {f"EXPERIMENT_FEATURES_{name}": value for name, value in settings.items()}
    for name, value in (s3.environment | settings).items():
        monkeypatch.setenv(name, value)
    assert main(["reproduce", "delta", "--database-url", hosts.database.url()]) == 0
    assert not s3.keys(f"{tmp_path.name}/x")


def fail(hosts: Hosts, cluster: Cluster, stage: str) -> None:
    """Runs a stage whose cluster is killed while it computes, and starts another one."""
    persist, written = SparkEngine.persist, itertools.count(1)

    def kill_meanwhile(*arguments: Any) -> Any:
        if next(written) == 2:
            threading.Timer(0.02, cluster.kill).start()
        return persist(*arguments)

    with (
        patch.object(SparkEngine, "persist", kill_meanwhile),
        pytest.raises(EngineUnavailable, match=f"^Spark at {cluster.url} failed: "),
    ):
        hosts.run(stage)
    cluster.start()


def test_whatever_fails_the_run_can_go_on(
    hosts: Hosts, s3: S3Server, tmp_path: Path, cluster: Cluster, proxy: Proxy
) -> None:
    """Wrong credentials are not tried again, a lost cluster is; slow storage only takes longer."""
    drop = every_fault("users", "email_invalid").write(tmp_path / "drop")
    hosts.run("extract", source=drop)
    with running(s3.environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}) as refused:
        message = f"^Spark at {refused.url} failed: .* 403 Forbidden. Give it what it needs to use"
        with pytest.raises(ConfigurationError, match=message):
            replace(hosts, master=refused.url).run("validate")
    proxy.delay, proxy.cut_after, proxy.cuts = 0.01, 100, 3
    for stage in ("validate", "transform"):
        fail(hosts, cluster, stage)
        hosts.run(stage)
    proxy.delay = 0
    assert proxy.cuts == 0
    with hosts.open() as pipeline:
        assert_as_expected(drop, pipeline.workspace)


def test_a_part_that_is_gone(hosts: Hosts, s3: S3Server, tmp_path: Path) -> None:
    """While Spark begins to read, or before; the run has to start again."""
    hosts.run("extract", source=every_fault("users", "email_invalid").write(tmp_path / "drop"))
    store, read_parts = f"{tmp_path.name}/store", SparkEngine.read_parts
    (name,) = (key for key in s3.keys(store) if key.startswith("users/"))

    def remove(*arguments: Any) -> Any:
        s3.client().delete_object(Bucket=BUCKET, Key=f"{store}/{name}")
        return read_parts(*arguments)

    message = f"does not find s3://{BUCKET}/{store}/users/.* start the run again"
    with (
        patch.object(SparkEngine, "read_parts", remove),
        pytest.raises(ConfigurationError, match=message),
    ):
        hosts.run("validate")
    with pytest.raises(PartGone, match=r"the rows of users\.csv are no longer in the store"):
        hosts.run("validate")
