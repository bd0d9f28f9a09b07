"""The engine `spark` on Sail, in this process: the same rows as on any other engine.

What only a cluster can show is in test_spark_cluster.py.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from cases import cases, first_or_all
from delta_drops import Step
from delta_stages import check_sequence
from drops import CLEAN, Drop, Part, Row, drops, every_fault, run_times_of_all_sizes
from experiment_features.engines import arrow, spark_session
from experiment_features.engines.choose import choose_engine
from experiment_features.engines.engine import Engine
from experiment_features.errors import ConfigurationError, EngineUnavailable, PipelineError
from experiment_features.workspace import Workspace
from integration.running import features_of, run_drop, run_of
from integration.servers import Database
from stages import assert_as_expected, check_computed, digests_of, run_stages

pytestmark = [
    pytest.mark.xdist_group("sail"),
    pytest.mark.filterwarnings("error:.RETRIES_EXCEEDED"),  # no user should see it
]

INCLUDE = Path(__file__).parents[3] / "include"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """The engine on Sail; tmp_path has rows.parquet."""
    pq.write_table(pa.table({"position": [1, 2, 3]}), tmp_path / "rows.parquet")
    return choose_engine("spark", 1, Path(), "sail")


def run_command(master: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command of the pipeline with Spark as its engine; it finds no Java."""
    return subprocess.run(
        [sys.executable, "-m", "experiment_features", *map(str, arguments), "--engine", "spark"],
        env={
            "PATH": "/nowhere",
            "PYTHONPATH": str(INCLUDE),
            "EXPERIMENT_FEATURES_SPARK_MASTER": master,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_a_process_without_a_program_file_is_not_taken_for_the_tests_of_pyspark() -> None:
    """Such as those of Airflow's tasks."""
    program = (
        "import sys; from experiment_features.engines.spark_session import open_session;"
        "open_session('sail'); assert 'pyspark.testing.connectutils' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(INCLUDE)}, check=True)


@pytest.mark.parametrize("hard_drop", first_or_all(every_fault, run_times_of_all_sizes))
def test_a_hard_drop_gives_what_the_oracle_says(
    hard_drop: Callable[[], Drop], tmp_path: Path
) -> None:
    """Every faulty value has an issue, with file and line, and every mean is exact; odd names too."""
    source = hard_drop().write(tmp_path / "source")
    workspace = Workspace(tmp_path / "-s*r q?x {c,d} [a-b] 'e\" %41#2 名=v")
    run_stages(source, workspace, "spark")
    assert_as_expected(source, workspace)
    on_duckdb = Workspace(tmp_path / "duckdb")
    run_stages(source, on_duckdb, "duckdb")
    assert digests_of(workspace) == digests_of(on_duckdb)


@pytest.mark.thorough
@given(drop=drops())
@settings(
    max_examples=cases(5),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_drop_gives_what_the_oracle_says(
    drop: Drop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Features and issues, with file, line and rule, are exactly those of the oracle."""
    check_computed(drop, tmp_path_factory.mktemp("drop"), "spark")


def test_a_delta_gives_what_the_oracle_says(tmp_path: Path) -> None:
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
    check_sequence(steps, tmp_path, "duckdb", last_engine="spark")


@pytest.mark.thorough
def test_a_load_changes_nothing_that_duckdb_has_loaded(
    database: Database, sample_drop: Drop, tmp_path: Path
) -> None:
    """Sail finds nothing to write; standard error has no more than on another engine."""
    source = sample_drop.write(tmp_path / "source")
    first = run_of(database, run_drop(database, source, engine="duckdb")["run_id"])
    before = features_of(database)
    load = run_command("sail", "run", source, "--force", "--json", "--database-url", database.url())
    assert load.returncode == 0, load.stderr
    assert "Warning" not in load.stderr
    result = json.loads(load.stdout)
    assert (result["engine"], result["status"]) == ("spark", "loaded")
    assert result["unchanged"] == result["users"] == len(before)
    assert features_of(database) == before
    second = run_of(database, result["run_id"])
    same = ("features_sha256", "issues_sha256", "lock_sha256", "python_version")
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert second["engine_version"] == f"Sail {metadata.version('pysail')}"


def test_many_files_and_none_are_one_relation(engine: Engine, tmp_path: Path) -> None:
    """Sail writes many files of many rows, and of none no file; old ones are replaced."""
    columns = {"position": range(1, 100_001), "ids": [[1, None]] * 100_000}
    pq.write_table(pa.table(columns), tmp_path / "many.parquet")
    many, target = engine.read(tmp_path / "many.parquet"), tmp_path / "written.parquet"
    of_folder = engine.persist(many, tmp_path / "folder")
    assert len(list((tmp_path / "folder").iterdir())) > 1
    pq.write_table(pa.table(columns), target)
    engine.write(of_folder, target)
    assert len(arrow.files_of(target)) > 1
    assert (
        pa.Table.from_batches(arrow.batches(target)).sort_by("position").to_pydict()
        == pa.table(columns).to_pydict()
    )
    none = engine.write(many.filter(nw.col("position") < 0), target)
    assert sum(map(len, arrow.batches(target))) == 0
    assert none.collect_schema() == many.collect_schema()


def test_a_workspace_that_workers_do_not_share_is_an_error(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error if a server reads or writes another folder of the same name."""
    rows = engine.read(tmp_path / "rows.parquet")
    elsewhere = f"file://{tmp_path}/elsewhere"
    monkeypatch.setattr(type(engine), "_uri", lambda *_: elsewhere)
    for use in (engine.write, engine.persist):
        with pytest.raises(ConfigurationError, match="the same folder on all of its hosts"):
            use(rows, tmp_path / "copy.parquet")
    monkeypatch.setattr(type(engine), "_uri", lambda *_: f"{elsewhere}/nothing")
    with pytest.raises(ConfigurationError, match="the same folder on all of its hosts"):
        engine.read(tmp_path / "rows.parquet")


def test_an_unreachable_server_is_reported_in_one_line(sample_drop: Drop, tmp_path: Path) -> None:
    """A server that cannot be reached gives an error message, not a stack trace, nor the token."""
    source = sample_drop.write(tmp_path / "source")
    check = run_command("sc://127.0.0.1:1/;token=secret", "check", source)
    assert (check.returncode, check.stdout) == (4, "")
    assert "failed: Spark at sc://127.0.0.1:1 failed: " in check.stderr.splitlines()[-1]
    assert "Traceback" not in check.stderr
    assert "secret" not in check.stderr


@contextmanager
def refusing_server(status: Any) -> Iterator[str]:
    """Runs a server of gRPC that answers every call with a status; gives its URL."""
    import grpc

    class Refusal(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return grpc.unary_stream_rpc_method_handler(
                lambda _request, context: context.abort(status, "not today")
            )

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Refusal()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"sc://127.0.0.1:{port}"
    finally:
        server.stop(None)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("UNAVAILABLE", EngineUnavailable),
        ("RESOURCE_EXHAUSTED", EngineUnavailable),
        ("UNAUTHENTICATED", ConfigurationError),
        ("PERMISSION_DENIED", ConfigurationError),
        ("UNIMPLEMENTED", ConfigurationError),
    ],
)
def test_what_a_server_refuses_with_says_whether_to_try_again(
    status: str, error: type[PipelineError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is away or full is tried again; one that does not admit us, or is none, not."""
    import grpc

    monkeypatch.setitem(spark_session._RETRIES, "max_retries", 0)
    with (
        refusing_server(grpc.StatusCode[status]) as url,
        pytest.raises(error, match=f"Spark at {url} failed: not today. Check"),
    ):
        choose_engine("spark", 1, Path(), url)


def test_a_server_that_dies_is_reported_and_another_one_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was asked of it last, also a mere column's type, trying again may help."""
    from pysail.spark import SparkConnectServer

    pq.write_table(pa.table({"position": [1]}), tmp_path / "rows.parquet")
    server = SparkConnectServer()
    server.start(background=True)
    url = "sc://{}:{}".format(*server.listening_address)
    with monkeypatch.context() as patch:
        patch.setitem(spark_session._RETRIES, "max_retries", 1)
        engine = choose_engine("spark", 1, Path(), url)
        rows = engine.read(tmp_path / "rows.parquet")
        server.stop()
        with pytest.raises(EngineUnavailable, match=f"Spark at {url} failed: "), engine.errors():
            rows.with_columns(nw.col("position") + 1).collect_schema()
    # For a second, gRPC refuses addresses that have just failed, so this is tried more than once.
    again = SparkConnectServer(port=int(url.rpartition(":")[2]))
    again.start(background=True)
    found = choose_engine("spark", 1, Path(), url).read(tmp_path / "rows.parquet")
    assert found.collect().shape == (1, 1)
    spark_session._opened[url].session.stop()
    again.stop()


def test_a_server_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has both versions."""
    monkeypatch.setattr(spark_session, "_opened", {})
    monkeypatch.setattr("pyspark.sql.connect.session.SparkSession.version", "3.5.1")
    with pytest.raises(ConfigurationError, match=r"is version 3\.5\.1, and PySpark here is 4\.2"):
        choose_engine("spark", 1, Path(), "sail")


@pytest.mark.parametrize(
    ("master", "module", "option"),
    [("sail", "pysail", "sail"), ("sc://host", "grpc", "connect"), ("local[*]", "py4j", "spark")],
)
def test_missing_packages_are_named_with_the_way_to_install_them(
    master: str, module: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of master needs packages of its own."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"{module}.*scripts/setup\.sh --{option},"):
        choose_engine("spark", 1, Path(), master)
