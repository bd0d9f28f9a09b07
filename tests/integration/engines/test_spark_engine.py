"""The engine `spark` on a real cluster: the same rows as on any other engine.

A longer search for drops that go wrong:
SPARK_DROPS=200 .venv/bin/python -m pytest tests/integration/engines/test_spark_engine.py -k any_drop
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from delta_drops import Step
from delta_stages import check_sequence
from drops import CLEAN, Drop, Part, Row, drops, every_fault, run_times_of_all_sizes
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import ConfigurationError
from experiment_features.workspace import Workspace
from integration.running import features_of, make_drop, run_drop, run_of
from integration.servers import Database
from integration.spark_cluster import (
    Cluster,
    require_spark,
    running_cluster,
    running_connect_server,
    wait_until,
)
from stages import assert_as_expected, digests_of, run_stages

pytestmark = [pytest.mark.xdist_group("spark"), pytest.mark.timeout(900)]

INCLUDE = Path(__file__).parents[3] / "include"
SPARK_DROPS = int(os.environ.get("SPARK_DROPS", "2"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster, which the JVM of this process can find.

    Tests in this process share one session, because starting the JVMs takes half a minute.
    """
    with (
        running_cluster(tmp_path_factory.mktemp("cluster")) as cluster,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in cluster.environment.items():
            environment.setenv(name, value)
        yield cluster
        if "pyspark.sql" in sys.modules:
            from pyspark.sql import SparkSession

            if session := SparkSession.getActiveSession():
                session.stop()
            # It logs its end after the log has been closed.
            logging.getLogger("py4j").setLevel(logging.WARNING)


def start_command(cluster: Cluster, master: str, *arguments: Any) -> subprocess.Popen[str]:
    """Starts a command of the pipeline with Spark as its engine."""
    return subprocess.Popen(
        [sys.executable, "-m", "experiment_features", *map(str, arguments), "--engine", "spark"],
        env=cluster.environment
        | {"PYTHONPATH": str(INCLUDE), "EXPERIMENT_FEATURES_SPARK_MASTER": master},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("hard_drop", [every_fault, run_times_of_all_sizes])
def test_a_hard_drop_gives_what_the_oracle_says(
    hard_drop: Callable[[], Drop], cluster: Cluster, tmp_path: Path
) -> None:
    """Every faulty value has an issue, with file and line, and every mean is exact; odd names too."""
    source = hard_drop().write(tmp_path / "source")
    workspace = Workspace(tmp_path / "-s*r q?x {c,d} [a-b] 'e\" %41#2\n名=v")
    run_stages(source, workspace, "spark", spark=cluster.master)
    assert_as_expected(source, workspace)
    on_duckdb = Workspace(tmp_path / "duckdb")
    run_stages(source, on_duckdb, "duckdb")
    assert digests_of(workspace) == digests_of(on_duckdb)


@given(drop=drops())
@settings(
    max_examples=SPARK_DROPS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_drop_gives_what_the_oracle_says(
    drop: Drop, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Features and issues, with file, line and rule, are exactly those of the oracle."""
    folder = tmp_path_factory.mktemp("drop")
    workspace = Workspace(folder / "workspace")
    source = drop.write(folder / "source")
    run_stages(source, workspace, "spark", spark=cluster.master)
    assert_as_expected(source, workspace)


def test_a_delta_gives_what_the_oracle_says(cluster: Cluster, tmp_path: Path) -> None:
    """On a delta and a snapshot: rows are replaced, deleted, and rejected; another one heals."""
    user = ("Ida", "i@b.org", "2024-01-01")
    of_tables = {
        "snapshot": CLEAN | {"user_experiments": [("1", "9", "1;2", "2.5"), ("2", "1", "2", "")]},
        "delta": {
            "users": [("9", *user), ("1", *user), ("1", *user), ("x", "", "", "")],
            "user_experiments": [("50", "2", "2", "1,5"), ("51", "9", "1;3", "0.5")],
            "deleted_user_experiments": [("2",), ("99",)],
        },
    }
    steps = [
        Step(mode, Drop(tuple(Part(table, "", tuple(map(Row, rows[table]))) for table in rows)))
        for mode, rows in of_tables.items()
    ]
    check_sequence(steps, tmp_path, "duckdb", spark=cluster.master)


def test_a_load_changes_nothing_that_duckdb_has_loaded(
    cluster: Cluster, database: Database, sample_drop: Drop, tmp_path: Path
) -> None:
    """Spark finds nothing to write (here through Spark Connect, below through a master)."""
    source = sample_drop.write(tmp_path / "source")
    first = run_of(database, run_drop(database, source, engine="duckdb")["run_id"])
    before = features_of(database)
    arguments = ("run", source, "--force", "--json", "--database-url", database.url())
    with running_connect_server(cluster) as url:
        load = start_command(cluster, url, *arguments)
        output, errors = load.communicate(timeout=300)
    assert load.returncode == 0, errors
    result = json.loads(output)
    assert (result["engine"], result["status"]) == ("spark", "loaded")
    assert result["unchanged"] == result["users"] == len(before)
    assert features_of(database) == before
    second = run_of(database, result["run_id"])
    same = ("features_sha256", "issues_sha256", "lock_sha256", "python_version")
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert second["engine_version"] == metadata.version("pyspark")


def test_a_workspace_that_workers_do_not_share_is_an_error(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error if the workers write to another folder of the same name."""
    engine = choose_engine("spark", 1, Path(), cluster.master)
    pq.write_table(pa.table({"position": [1]}), tmp_path / "rows.parquet")
    rows = engine.read(tmp_path / "rows.parquet")
    elsewhere = f"file://{tmp_path}/elsewhere"
    monkeypatch.setattr("experiment_features.engines.spark_engine._uri", lambda _path: elsewhere)
    with pytest.raises(ConfigurationError, match="the same folder on all of its hosts"):
        engine.write(rows, tmp_path / "copy.parquet")


@pytest.mark.parametrize("master", ["spark://127.0.0.1:1", "sc://127.0.0.1:1"])
def test_an_unreachable_cluster_is_reported_in_one_line(
    master: str, cluster: Cluster, sample_drop: Drop, tmp_path: Path
) -> None:
    """A cluster that cannot be reached gives an error message, not a stack trace."""
    source = sample_drop.write(tmp_path / "source")
    check = start_command(cluster, master, "check", source)
    output, errors = check.communicate(timeout=300)
    assert (check.returncode, output) == (4, "")
    assert f"failed: Spark at {master} failed: " in errors.splitlines()[-1]
    assert "Traceback" not in errors


def test_missing_pyspark_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PySpark, the error says how to install it."""
    monkeypatch.setitem(sys.modules, "py4j.protocol", None)
    with pytest.raises(ConfigurationError, match=r"scripts/setup\.sh --spark"):
        choose_engine("spark", 1, Path())


def test_missing_java_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java, the error says how to install it."""
    require_spark()
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ConfigurationError, match="default-jre-headless"):
        choose_engine("spark", 1, Path())


def test_a_worker_that_dies_is_replaced_by_the_other(
    cluster: Cluster, database: Database, tmp_path: Path
) -> None:
    """The other worker takes over. This test comes last, as the cluster stays reduced."""
    experiments = [(1 + i % 500, f"{1 + i % 3};{1 + i % 2}", str(i % 7)) for i in range(50_000)]
    drop = make_drop({i: f"user {i}" for i in range(1, 501)}, experiments)
    source = drop.write(tmp_path / "source")
    run_drop(database, source, engine="duckdb")
    before = features_of(database)
    arguments = ("run", source, "--force", "--json", "--database-url", database.url())
    load = start_command(cluster, cluster.master, *arguments)
    checked = "experiment_features_*/run/scratch/faults/compounds/compound_id_repeated.parquet"
    wait_until("two tables are nearly checked", lambda: list(cluster.folder.glob(checked)))
    cluster.kill_worker()
    output, errors = load.communicate(timeout=300)
    assert load.returncode == 0, errors
    assert cluster.status()["aliveworkers"] == 1
    assert json.loads(output)["unchanged"] == len(before)
    assert features_of(database) == before
