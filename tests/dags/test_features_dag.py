"""The DAG as Airflow sees it: flow, parameters, schedule, retries, and a light import."""

import ast
import json
import subprocess
import sys
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType, ParamValidationError
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables import trigger
from airflow.timetables.base import DagRunInfo
from airflow.timetables.trigger import coerce_datetime
from pendulum import DateTime

from experiment_features import errors
from experiment_features.contract import MODES
from experiment_features.engines.choose import ENGINES
from experiment_features.errors import ConfigurationError
from experiment_features.run import PARAMETERS
from features_airflow import DAG_ID
from features_airflow.ready_marker import ReadyMarkerTrigger
from features_airflow.schedule import daily_or_on_arrival

ROOT = Path(__file__).parents[2]
DAG_FILE = ROOT / "dags" / "features_dag.py"
HEAVY = ["pandas", "duckdb", "psycopg", "narwhals", "pyarrow", "experiment_features.pipeline"]
STAGES = ["extract", "validate", "transform", "load"]


@pytest.fixture(scope="module")
def serialized(dag: DAG) -> SerializedDAG:
    """The DAG as the scheduler knows it."""
    return serialize(dag)


def serialize(dag: DAG) -> SerializedDAG:
    """Sends a DAG through the database, as JSON."""
    stored: SerializedDAG = DagSerialization.from_dict(
        json.loads(json.dumps(DagSerialization.to_dict(dag)))
    )
    return stored


def load_dag() -> DAG:
    """The DAG as it is parsed with the settings of now."""
    found: DAG = DagBag(DAG_FILE).dags[DAG_ID]
    return found


def test_the_folder_holds_this_dag_alone(dag_bag: DagBag) -> None:
    """No import error, and the modules beside it are not taken for DAG files."""
    assert dag_bag.import_errors == {}
    assert list(dag_bag.dags) == ["experiment_features"] == [DAG_ID]
    assert [Path(stat.file).name for stat in dag_bag.dagbag_stats] == [DAG_FILE.name]


def test_import_is_light(tmp_path: Path) -> None:
    """The DAG processor imports the file every half a minute: nothing heavy may come with it."""
    probe = (
        "import importlib.util, json, sys\n"
        f"spec = importlib.util.spec_from_file_location('dag_file', {str(DAG_FILE)!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    environment = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "PYTHONPATH": str(ROOT / "include"),
    }
    done = subprocess.run(
        [sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_flow(dag: DAG) -> None:
    """Four tasks in a row; the last one's result is the DAG's."""
    assert {task.task_id: task.downstream_task_ids for task in dag.tasks} == {
        "extract": {"validate"},
        "validate": {"transform"},
        "transform": {"load"},
        "load": set(),
    }
    assert [task.task_id for task in dag.tasks if task.returns_dag_result] == ["load"]
    assert not [task.task_id for task in dag.tasks if task.multiple_outputs]


def test_attributes(dag: DAG) -> None:
    """What users see of the DAG, and what Airflow may do with it unasked."""
    assert dag.owner == "laboratory-data"
    assert dag.tags == {"laboratory", "features"}
    assert dag.doc_md
    assert dag.is_paused_upon_creation is False
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.start_date is None
    assert all(task.doc_md for task in dag.tasks)


def test_documentation_names_everything(dag: DAG) -> None:
    """Inputs, outputs and a sample of the parameters, in a file of at most 100 lines."""
    relations = ["user_features", "compound_features", "pipeline_runs", "data_issues"]
    files = ["users*.csv", "user_experiments*.csv", "compounds*.csv"]
    for name in (*relations, *files, "features_db", "unchanged", "02:00 UTC"):
        assert f"{name}" in dag.doc_md, name
    sample = json.loads(dag.doc_md.strip().splitlines()[-1])
    assert set(sample["conf"]) <= set(dag.params)
    assert len(DAG_FILE.read_text().splitlines()) <= 100


def test_parameters(dag: DAG) -> None:
    """Each has a default, a type and its limits, and is described for the Trigger form."""
    schemas = {name: dict(dag.params.get_param(name).schema) for name in dag.params}
    assert all(schema.pop("title") for schema in schemas.values())
    sections = [schema.pop("section", None) for schema in schemas.values()]
    assert sections == [
        None,
        None,
        "Quality",
        "Quality",
        "Quality",
        "Run",
        "Run",
    ]  # those without are open
    assert all(dag.params.get_param(name).description for name in dag.params)
    assert schemas == {
        "source": {"type": ["string", "null"]},  # the form sends null for a field that is cleared
        "mode": {"type": "string", "enum": list(MODES)},
        "engine": {"type": "string", "enum": list(ENGINES)},
        "max_rejected_percent": {"type": "number", "minimum": 0, "maximum": 100},
        "max_removed_percent": {"type": "number", "minimum": 0, "maximum": 100},
        "allow_empty": {"type": "boolean"},
        "force": {"type": "boolean"},
    }
    assert dag.params.dump() == {
        "source": "",
        "mode": "auto",
        "engine": "auto",
        "max_rejected_percent": 10,
        "max_removed_percent": 20,
        "allow_empty": False,
        "force": False,
    }


def test_every_parameter_of_a_run_is_a_parameter_of_the_dag(dag: DAG) -> None:
    """None is forgotten in the form."""
    assert set(dag.params) == {"source", "engine", *PARAMETERS}


def test_documented_defaults(dag: DAG) -> None:
    """The page of parameters has the defaults that Airflow shows in its form."""
    page = (ROOT / "docs" / "running.md").read_text()
    for name, default in dag.params.dump().items():
        shown = f"`{str(default).lower()}`" if default != "" else "empty"
        assert f"| `{name}` | {shown} |" in page


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("source", value) for value in (1, ["/drops"])],
        *[("mode", value) for value in ("full", "", None, "Delta")],
        *[("engine", value) for value in ("abacus", "", None, "DuckDB")],
        *[
            (name, value)
            for name in ("max_rejected_percent", "max_removed_percent")
            for value in (-0.1, 100.1, "10", None, True)
        ],
        *[("allow_empty", value) for value in ("yes", 1, None)],
        *[("force", value) for value in ("true", 0, None)],
    ],
)
def test_bad_values_are_refused(dag: DAG, name: str, value: Any) -> None:
    """What is not of a parameter's type or within its limits does not start a run."""
    with pytest.raises(ParamValidationError, match=r"is not|is less|is greater|should be"):
        deepcopy(dag.params.get_param(name)).resolve(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("source", value) for value in ("/drops/1", "", None)]
    + [("max_rejected_percent", 0), ("max_removed_percent", 99.5)]
    + [("mode", mode) for mode in MODES]
    + [("engine", engine) for engine in ENGINES]
    + [(name, value) for name in ("allow_empty", "force") for value in (True, False)],
)
def test_good_values_are_taken(dag: DAG, name: str, value: Any) -> None:
    """The limits themselves are allowed."""
    assert deepcopy(dag.params.get_param(name)).resolve(value) == value


@pytest.mark.parametrize("stage", STAGES)
def test_retries_back_off_and_every_stage_has_an_end(serialized: SerializedDAG, stage: str) -> None:
    """Three retries after 15, 30 and 60 seconds (Airflow adds up to as much again)."""
    task = serialized.get_task(stage)
    assert (task.retries, task.retry_exponential_backoff) == (3, 2.0)
    assert task.retry_delay == timedelta(seconds=15)
    assert timedelta(0) < task.execution_timeout <= timedelta(hours=2)


@pytest.mark.parametrize(
    "error",
    [
        *[
            error
            for error in vars(errors).values()
            if isinstance(error, type) and issubclass(error, errors.PipelineError)
        ],
        *[ValueError, OSError, KeyError],
    ],
)
def test_transient_errors_alone_are_tried_again(dag: DAG, error: type[Exception]) -> None:
    """Bad input fails at once, and so does a bug; also with the policy as it is stored."""
    wanted = RetryAction.DEFAULT if issubclass(error, errors.TransientError) else RetryAction.FAIL
    for task in dag.tasks:
        stored = ExceptionRetryPolicy.deserialize(
            json.loads(json.dumps(task.retry_policy.serialize()))
        )
        for policy in (task.retry_policy, stored):
            assert policy.evaluate(error("why"), 1, 3).action is wanted


def test_an_api_server_that_is_away_is_tried_again(dag: DAG) -> None:
    """A restart of it is no reason to lose a run."""
    away = AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
    for task in dag.tasks:
        assert task.retry_policy.evaluate(away, 1, 3).action is RetryAction.DEFAULT


def to_time(text: str) -> DateTime:
    """A moment in UTC, of the kind that Airflow computes with."""
    return coerce_datetime(datetime.fromisoformat(f"{text}+00:00"))


@pytest.mark.parametrize(
    ("now", "last_run", "next_run"),
    [
        pytest.param("2026-11-22T14:00:00", None, "2026-11-23T02:00:00", id="installed_by_day"),
        pytest.param("2026-11-22T02:30:00", None, "2026-11-23T02:00:00", id="installed_at_night"),
        pytest.param("2026-11-22T01:59:59", None, "2026-11-22T02:00:00", id="installed_just_before"),
        pytest.param("2026-11-22T02:00:09", None, "2026-11-22T02:00:00", id="first_run_comes_late"),
        pytest.param("2026-11-22T02:00:09", "2026-11-22T02:00:00", "2026-11-23T02:00:00", id="next_day"),
        pytest.param("2026-11-22T14:00:00", "2026-11-12T02:00:00", "2026-11-22T02:00:00", id="after_an_outage"),
    ],
)  # fmt: skip
def test_schedule(
    serialized: SerializedDAG,
    monkeypatch: pytest.MonkeyPatch,
    now: str,
    last_run: str | None,
    next_run: str,
) -> None:
    """Daily at 02:00 UTC; an installation starts no run of its own, an outage is made up once."""
    monkeypatch.setattr(trigger, "utcnow", lambda: to_time(now))
    last = DagRunInfo.exact(to_time(last_run)) if last_run else None
    due = serialized.next_dagrun_info(last_automated_run_info=last)
    assert due.run_after == to_time(next_run)


def test_the_schedule_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another time, or none: then drops that arrive still start runs."""
    variable = "EXPERIMENT_FEATURES_SCHEDULE"
    monkeypatch.setattr(trigger, "utcnow", lambda: to_time("2026-11-22T14:00:00"))  # a Sunday
    monkeypatch.setenv(variable, "30 5 * * 1-5")
    due = serialize(load_dag()).next_dagrun_info(last_automated_run_info=None)
    assert due.run_after == to_time("2026-11-23T05:30:00")
    monkeypatch.setenv(variable, "off")
    silent = serialize(load_dag())
    assert silent.next_dagrun_info(last_automated_run_info=None) is None
    assert [asset.name for _, asset in silent.timetable.asset_condition.iter_assets()] == [
        "laboratory_drops"
    ]
    for value in ("daily", "0 0 31 2 *", "0 2 * *", "\x1b[2J"):
        monkeypatch.setenv(variable, value)
        with pytest.raises(ConfigurationError, match=f"^{variable} is '") as refused:
            daily_or_on_arrival()
        assert "\x1b" not in str(refused.value)


def test_nothing_looks_at_the_logical_date() -> None:
    """Manual and asset-triggered runs have none: a run is keyed on its id."""
    absent = {"logical_date", "execution_date", "data_interval_start", "data_interval_end", "ds"}
    files = [*ROOT.glob("dags/*.py"), *ROOT.glob("include/experiment_features/**/*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = {getattr(node, field, None) for field in ("id", "attr", "value", "arg", "name")}
            found = absent.intersection(name for name in names if isinstance(name, str))
            assert not found, f"{file.name} line {node.lineno}"


def test_it_waits_for_drops_and_brings_the_features_up_to_date(serialized: SerializedDAG) -> None:
    """The assets, with the trigger as the triggerer gets it: a class that it can import."""
    (drops,) = [asset for _, asset in serialized.timetable.asset_condition.iter_assets()]
    assert drops.name == "laboratory_drops"
    (watcher,) = drops.watchers
    assert watcher.trigger["classpath"] == "features_airflow.ready_marker.ReadyMarkerTrigger"
    ReadyMarkerTrigger(**watcher.trigger["kwargs"])
    assert [asset.name for asset in serialized.get_task("extract").inlets] == ["laboratory_drops"]
    updated = [asset.name for asset in serialized.get_task("load").outlets]
    assert updated == ["user_features", "compound_features"]


def test_the_example_behind_the_features(dag: DAG) -> None:
    """It is a DAG, and waits for assets that this one updates."""
    bag = DagBag(ROOT / "docs" / "examples")
    assert bag.import_errors == {}
    waited_for = bag.dags["features_news"].timetable.asset_condition.objects
    assert {asset.name for asset in waited_for} == {
        asset.name for asset in dag.get_task("load").outlets
    }
