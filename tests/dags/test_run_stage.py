"""What a task hands to the pipeline, and where its connections lead."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.utils.types import DagRunType

from e2e.local_stack import SAMPLE
from experiment_features.errors import ConfigurationError, DatabaseUnavailable
from experiment_features.pipeline import Pipeline
from experiment_features.workspace import MARK
from features_airflow import run_stage
from stages import extract

STARTED_AT = datetime(2026, 11, 22, 2, tzinfo=UTC)


def pipeline_of_run(context: Any, workspace: str | None = None) -> Pipeline:
    """The pipeline, as it is when the task begins."""
    with run_stage.pipeline_of_run(context, workspace) as pipeline:
        return pipeline


@pytest.fixture
def context(dag: DAG, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The context of a task of a manual run with the default parameters."""
    dag_run = SimpleNamespace(
        run_id="manual__2026-11-22T02:00:00+00:00",
        run_type=DagRunType.MANUAL,
        start_date=STARTED_AT,
        run_after=STARTED_AT,
        conf={},
        triggering_user_name="ann",
    )
    context = {"dag": dag, "task": dag.get_task("load"), "dag_run": dag_run}
    context["params"] = dag.params.dump()
    monkeypatch.setattr(run_stage, "get_current_context", lambda: context)
    return context


@pytest.mark.parametrize(
    ("run_type", "run_id", "trigger"),
    [
        (DagRunType.SCHEDULED, "scheduled__2026-11-22T02:00:00+00:00", "scheduled"),
        (DagRunType.MANUAL, "manual__2026-11-22T02:00:00+00:00", "manual"),
        (DagRunType.MANUAL, "api__2026-11-22T02:00:00Z", "api"),
        (DagRunType.ASSET_TRIGGERED, "asset_triggered__2026-11-22T02:00:00+00:00", "asset"),
        (DagRunType.BACKFILL_JOB, "backfill__2026-11-22T02:00:00+00:00", "backfill"),
        (DagRunType.OPERATOR_TRIGGERED, "trig__2026", "manual"),
    ],
)
def test_every_kind_of_run_has_its_trigger(
    context: dict[str, Any], run_type: DagRunType, run_id: str, trigger: str
) -> None:
    """The ledger says how a run was started."""
    context["dag_run"].run_type, context["dag_run"].run_id = run_type, run_id
    run = pipeline_of_run(context).run
    assert (run.run_id, run.trigger, run.started_at) == (run_id, trigger, STARTED_AT)


def test_parameters_reach_the_pipeline(context: dict[str, Any]) -> None:
    """All of them: a parameter that nobody reads would be a promise broken."""
    context["params"] |= {"engine": "duckdb", "max_rejected_percent": 3, "allow_empty": True}
    context["params"] |= {
        "force": True,
        "mode": "delta",
        "max_removed_percent": 4,
        "source": "/drops/1",
    }
    pipeline = pipeline_of_run(context)
    assert pipeline.engine == "duckdb"
    assert pipeline.timeout_seconds == context["task"].execution_timeout.total_seconds()
    run = pipeline.run
    assert (run.max_rejected_percent, run.allow_empty, run.force) == (3, True, True)
    assert run.mode == "delta"
    assert (run.max_removed_percent, run.given_source, run.triggered_by) == (4, "/drops/1", "ann")
    context["params"]["source"] = None  # from a form whose field was cleared
    assert pipeline_of_run(context).run.given_source == ""


def test_earlier_drops_are_read_only_in_the_allowed_folders(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the ledger names their sources: the command line may have loaded them from elsewhere."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_SOURCE_ROOTS", str(SAMPLE))
    pipeline = pipeline_of_run(context)
    assert str(pipeline.open_source(str(SAMPLE))) == str(SAMPLE)
    with pytest.raises(ConfigurationError, match="lies outside the folders"):
        pipeline.open_source("/etc")


@pytest.mark.parametrize("value", ["", "full", "Delta", None])
def test_an_unknown_mode_is_refused(context: dict[str, Any], value: Any) -> None:
    """The message has those that there are."""
    context["params"]["mode"] = value
    message = f"mode is {value!r}: expected auto, snapshot, delta"
    with pytest.raises(ConfigurationError, match=message):
        pipeline_of_run(context)


@pytest.mark.parametrize("name", ["max_rejected_percent", "max_removed_percent"])
@pytest.mark.parametrize("value", [float("nan"), -0.1, 100.1])
def test_no_number_is_no_percentage(context: dict[str, Any], name: str, value: float) -> None:
    """Airflow's own check lets NaN pass, with which no limit would ever be exceeded."""
    context["params"] |= {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} is .*: expected a number from 0 to 100"):
        pipeline_of_run(context)


def test_a_password_in_the_source_stays_out_of_the_ledger(context: dict[str, Any]) -> None:
    """Readers see what was requested; of such a source, only its scheme."""
    context["params"]["source"] = "http://u:geheim@host/x"
    assert run_stage.run_of(context).given_source == "http://…"


def test_workspace_is_the_runs_own_and_handed_on(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first task names it after the run, the others take what they are given."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_WORKSPACES", str(tmp_path))
    workspace = str(pipeline_of_run(context).workspace)
    assert Path(workspace).parent == tmp_path
    context["dag_run"].run_id = "api__another"
    assert str(pipeline_of_run(context).workspace) != workspace
    assert str(pipeline_of_run(context, workspace).workspace) == workspace


def test_workspace_in_object_storage_is_named_likewise(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not looked for yet; what it is worked on in is gone with the task."""
    monkeypatch.setenv("AIRFLOW_CONN_NAMED", "aws://key:secret@")
    monkeypatch.setenv("EXPERIMENT_FEATURES_WORKSPACES", "s3://named@laboratory/workspaces/")
    context["dag_run"].run_id = "api__one:two"
    with run_stage.pipeline_of_run(context) as pipeline:
        assert str(pipeline.workspace) == "s3://named@laboratory/workspaces/api__one%3Atwo"
        assert pipeline.workspace.folder.is_dir()
    assert not pipeline.workspace.folder.exists()


def test_workspace_says_whose_it_is(context: dict[str, Any], tmp_path: Path) -> None:
    """A run that is given another's refuses it; one that an earlier version made does not say."""
    context["dag_run"].run_id = "drop:1"
    place = str(tmp_path / "drop_1")
    with run_stage.pipeline_of_run(context, place) as pipeline:
        extract(SAMPLE, pipeline.workspace)
    context["dag_run"].run_id = "drop_1"
    with run_stage.pipeline_of_run(context, place) as pipeline:
        for stage in (pipeline.validate, pipeline.load, pipeline.workspace.clear):
            with pytest.raises(ConfigurationError, match=r"files of run drop:1, not .* drop_1"):
                stage()
    (tmp_path / "drop_1" / MARK).write_text("")
    with run_stage.pipeline_of_run(context, place) as pipeline:
        assert pipeline.validate() is not None


def test_missing_connection_says_where_to_add_it(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No retry would find the connection."""

    def get_conn(_hook: PostgresHook) -> None:
        raise AirflowNotFoundException

    monkeypatch.setattr(PostgresHook, "get_conn", get_conn)
    connect = pipeline_of_run(context).connect
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_FEATURES_DB"), connect():
        pass


@pytest.mark.parametrize(
    "connection",
    [
        "postgres://reader@db..example.org/features",
        "postgres://reader@127.0.0.1:1/features?cursor=realdictcursor",
        '{"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "extra": "[1]"}',
    ],
)
def test_connection_that_cannot_be_used_says_so(
    connection: str, context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hook's own errors do not name the connection."""
    monkeypatch.setenv("AIRFLOW_CONN_FEATURES_DB", connection)
    connect = pipeline_of_run(context).connect
    with pytest.raises(ConfigurationError, match="connection features_db cannot be"), connect():
        pass


def test_database_that_is_away_is_a_transient_error(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the connection and the address."""
    monkeypatch.setenv("AIRFLOW_CONN_FEATURES_DB", "postgres://reader@127.0.0.1:1/features")
    connect = pipeline_of_run(context).connect
    with (
        pytest.raises(DatabaseUnavailable, match=r"database of features_db: .*127\.0\.0\.1"),
        connect(),
    ):
        pass


@pytest.mark.parametrize(
    ("connection", "master"),
    [
        (None, "spark://elsewhere:7077"),
        ("spark://spark.example.org:7077", "spark://spark.example.org:7077"),
        ("sc://spark.example.org:15002", "sc://spark.example.org:15002"),
        ('{"conn_type": "spark_connect", "host": "here", "port": 1}', "sc://here:1"),
        ('{"conn_type": "spark", "host": "spark://here", "port": 7077}', "spark://here:7077"),
        ('{"conn_type": "spark", "host": "local[*]"}', "local[*]"),
        ('{"conn_type": "spark", "host": "yarn"}', "yarn"),
    ],
)
def test_spark_is_where_its_connection_says(
    context: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    connection: str | None,
    master: str,
) -> None:
    """Of no connection, where the setting says."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_SPARK_MASTER", "spark://elsewhere:7077")
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_FEATURES_SPARK", connection)
    context["params"] |= {"engine": "spark"}
    assert pipeline_of_run(context).settings.spark_master == master


@pytest.mark.parametrize("connection", ["spark://", "postgres://here"])
def test_connection_that_names_no_spark_is_refused(
    context: dict[str, Any], monkeypatch: pytest.MonkeyPatch, connection: str
) -> None:
    """Rather than to compute on this machine in silence."""
    monkeypatch.setenv("AIRFLOW_CONN_FEATURES_SPARK", connection)
    context["params"] |= {"engine": "spark"}
    with pytest.raises(ConfigurationError, match="features_spark names no Spark"):
        pipeline_of_run(context)
