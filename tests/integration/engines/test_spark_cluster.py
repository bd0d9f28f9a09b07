"""The engine `spark` on a real cluster: what cannot be shown on Sail, in as few JVMs as possible."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drops import every_fault
from experiment_features.engines import spark_session
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import ConfigurationError, EngineUnavailable
from experiment_features.workspace import Workspace
from integration.running import features_of, make_drop, run_drop, run_of
from integration.servers import Database
from integration.spark_cluster import JVM, Cluster, require_spark, running_cluster, wait_until
from stages import assert_as_expected, digests_of, run_stages

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.timeout(900)]

INCLUDE = Path(__file__).parents[3] / "include"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster, which the JVM of this process can find; tests share one session."""
    with (
        running_cluster(tmp_path_factory.mktemp("cluster")) as cluster,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in cluster.environment.items():
            environment.setenv(name, value)
        yield cluster
        if opened := spark_session._opened.pop(cluster.connect_url, None):
            opened.session.stop()
        if "pyspark.sql" in sys.modules:
            from pyspark.sql import SparkSession

            if session := SparkSession.getActiveSession():
                session.stop()
            # It logs its end after the log has been closed.
            logging.getLogger("py4j").setLevel(logging.WARNING)


def test_an_unreachable_master_is_reported() -> None:
    """It is not waited for."""
    require_spark()
    master = "spark://127.0.0.1:1"
    with pytest.raises(EngineUnavailable, match=f"Spark at {master} failed: .*refused"):
        choose_engine("spark", 1, Path(), master)


def test_missing_java_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java, the error says how to install it."""
    require_spark()
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ConfigurationError, match="default-jre-headless"):
        choose_engine("spark", 1, Path())


def test_java_ends_with_the_process_that_needed_it(tmp_path: Path) -> None:
    """Without a cluster, Spark runs beside us, and ends however we end: here, as forked tasks do."""
    require_spark()
    pq.write_table(pa.table({"position": [1, 2]}), tmp_path / "rows.parquet")
    code = """
import os, pathlib, psutil
from experiment_features.engines import spark_session
from experiment_features.engines.choose import choose_engine
engine = choose_engine("spark", 1, pathlib.Path())
engine.write(engine.read(pathlib.Path("rows.parquet")), pathlib.Path("copy.parquet"))
print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)
os._exit(0)
"""
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(INCLUDE), "JDK_JAVA_OPTIONS": JVM}
    output = subprocess.check_output(command, env=environment, cwd=tmp_path)
    assert pq.read_table(tmp_path / "copy.parquet")["position"].to_pylist() == [1, 2]
    started = list(map(int, output.split()))
    assert started
    wait_until("Spark's Java has ended", lambda: not any(map(psutil.pid_exists, started)), 60)


def test_a_hard_drop_gives_what_the_oracle_says(cluster: Cluster, tmp_path: Path) -> None:
    """Every faulty value has an issue, with file and line; odd names too."""
    source = every_fault().write(tmp_path / "source")
    workspace = Workspace(tmp_path / "-s*r q?x {c,d} [a-b] 'e\" %41#2\n名=v")
    run_stages(source, workspace, "spark", spark=cluster.master)
    assert_as_expected(source, workspace)
    on_duckdb = Workspace(tmp_path / "duckdb")
    run_stages(source, on_duckdb, "duckdb")
    assert digests_of(workspace) == digests_of(on_duckdb)


@pytest.mark.parametrize("way", ["a master", "Spark Connect"])
def test_a_workspace_that_workers_do_not_share_is_an_error(
    way: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error if the workers write to another folder of the same name."""
    engine = choose_engine("spark", 1, Path(), cluster.master)  # serves Spark Connect as well
    if way == "Spark Connect":
        engine = choose_engine("spark", 1, Path(), cluster.connect_url)
    pq.write_table(pa.table({"position": [1]}), tmp_path / "rows.parquet")
    rows = engine.read(tmp_path / "rows.parquet")
    elsewhere = f"file://{tmp_path}/elsewhere"
    monkeypatch.setattr(type(engine), "_uri", lambda *_: elsewhere)
    with pytest.raises(ConfigurationError, match="the same folder on all of its hosts"):
        engine.write(rows, tmp_path / "copy.parquet")
    monkeypatch.setattr(type(engine), "_uri", lambda *_: f"{elsewhere}/nothing")
    with pytest.raises(ConfigurationError, match="the same folder on all of its hosts"):
        engine.read(tmp_path / "rows.parquet")


def test_a_load_by_spark_connect_survives_a_worker_that_dies(
    cluster: Cluster, database: Database, tmp_path: Path
) -> None:
    """The other worker takes over, and there is nothing to write that DuckDB has loaded.

    This test comes last, as the cluster stays reduced.
    """
    choose_engine("spark", 1, Path(), cluster.master)  # serves Spark Connect
    experiments = [(1 + i % 500, f"{1 + i % 3};{1 + i % 2}", str(i % 7)) for i in range(50_000)]
    drop = make_drop({i: f"user {i}" for i in range(1, 501)}, experiments)
    source = drop.write(tmp_path / "source")
    first = run_of(database, run_drop(database, source, engine="duckdb")["run_id"])
    before = features_of(database)
    arguments = ("run", source, "--force", "--json", "--database-url", database.url())
    load = subprocess.Popen(
        [sys.executable, "-m", "experiment_features", *map(str, arguments), "--engine", "spark"],
        env=cluster.environment
        | {"PYTHONPATH": str(INCLUDE), "EXPERIMENT_FEATURES_SPARK_MASTER": cluster.connect_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    checked = "experiment_features_*/run/scratch/faults/compounds/compound_id_repeated.parquet"
    wait_until("two tables are nearly checked", lambda: list(cluster.folder.glob(checked)))
    cluster.kill_worker()
    output, errors = load.communicate()
    assert load.returncode == 0, errors
    assert cluster.status()["aliveworkers"] == 1
    result = json.loads(output)
    assert (result["engine"], result["status"]) == ("spark", "loaded")
    assert result["unchanged"] == result["users"] == len(before)
    assert features_of(database) == before
    second = run_of(database, result["run_id"])
    same = ("features_sha256", "issues_sha256", "lock_sha256", "python_version")
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert second["engine_version"] == metadata.version("pyspark")
