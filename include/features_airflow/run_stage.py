"""Runs a stage of the pipeline for the Airflow task that asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.sdk import Connection, Context, get_current_context
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from experiment_features.config import Settings
from experiment_features.drop.allowed_source import resolve_source
from experiment_features.errors import (
    ConfigurationError,
    DropRejected,
    NothingToDo,
    PipelineError,
)
from experiment_features.load.database import database_errors
from experiment_features.load.ledger import find_last_success
from experiment_features.load.lifecycle import record_end, recorded
from experiment_features.pipeline import Pipeline
from experiment_features.run import PARAMETERS, Run, StageFacts, Validated
from experiment_features.visible_text import escape
from experiment_features.workspace import folder_name
from features_airflow import telemetry
from features_airflow.choose_drop import choose_drop
from features_airflow.features_db import open_features_db
from features_airflow.object_storage import open_filesystem, open_place, open_workspace
from features_airflow.schedule import FEATURES, RETRIED

SPARK_CONNECTION_ID = "features_spark"

TRIGGERS = {
    "scheduled": "scheduled",
    "backfill": "backfill",
    "asset_triggered": "asset",
}
"""What the ledger calls Airflow's run types; every other type is manual."""

API_PREFIX = "api__"
"""How the ids of runs over REST begin: Airflow does not tell a task where its run came from."""


def run_stage(stage: str, workspace: str | None = None) -> dict[str, Any]:
    """Runs a stage of the current task's run, and reports what it did.

    Args:
        stage: extract, validate, transform or load.
        workspace: the URI that the task before handed on; None for extract.

    Returns:
        What the stage hands on; for load, the result of the run.

    Raises:
        AirflowSkipException: there is nothing to do; the log says why.
        PipelineError: see experiment_features.errors.
    """
    context = get_current_context()
    try:
        with (
            telemetry.count_failures(),
            recorded(open_features_db, run_of(context), stage, retried=RETRIED),
            pipeline_of_run(context, workspace) as pipeline,
        ):
            return _report(stage, context, pipeline, _run(stage, context, pipeline))
    except NothingToDo as end:
        raise AirflowSkipException(str(end)) from end


def _run(stage: str, context: Context, pipeline: Pipeline) -> StageFacts | None:
    if stage == "extract":
        source = choose_drop(context, pipeline)
        context["ti"].xcom_push("source", str(source))  # alerts name it
        telemetry.record_input(source)
        return pipeline.extract(source)
    try:
        found: StageFacts | None = getattr(pipeline, stage)()
    except DropRejected:
        telemetry.report(stage, asdict(pipeline.workspace.found(Validated)))
        raise
    return found


def _report(
    stage: str, context: Context, pipeline: Pipeline, found: StageFacts | None
) -> dict[str, Any]:
    """Tells metrics, assets and the next task what a stage found."""
    counts = found.counts() if found else {}
    telemetry.report(stage, counts)
    if stage == "load":
        telemetry.record_outputs()
        for asset in FEATURES:
            context["outlet_events"][asset].extra = counts
        return counts
    return {"workspace": str(pipeline.workspace), **counts}


def end_run_of(context: Context, error: BaseException | None) -> bool:
    """Enters how a run ended after its task failed for good: the task may have died silently.

    Returns:
        Whether the ledger had the run as running until then.
    """
    task = context["ti"].task_id
    died = PipelineError(
        f"{task} ended without an error: its process was killed, or its host stopped"
    )
    return record_end(open_features_db, run_of(context), task, error or died, only_running=True)


def last_success() -> datetime | None:
    """When a run last ended as loaded or unchanged; None if none has."""
    with (
        open_features_db() as connection,
        database_errors("read the run ledger", connection=connection),
    ):
        return find_last_success(connection)


def run_of(context: Context) -> Run:
    """The run of a task."""
    dag_run, parameters = context["dag_run"], context["params"]
    trigger = TRIGGERS.get(str(dag_run.run_type.value), "manual")
    return Run(
        run_id=dag_run.run_id,
        trigger="api" if dag_run.run_id.startswith(API_PREFIX) else trigger,
        started_at=dag_run.start_date or dag_run.run_after,
        today=dag_run.run_after.astimezone(UTC).date(),
        triggered_by=dag_run.triggering_user_name,
        given_source=escape(parameters["source"] or ""),
        **{name: parameters[name] for name in PARAMETERS},
    )


@contextmanager
def pipeline_of_run(context: Context, workspace: str | None = None) -> Iterator[Pipeline]:
    """The pipeline of a task's run.

    Args:
        context: of the task.
        workspace: the URI that the task before handed on; the first task makes a new one.
    """
    run, parameters = run_of(context), context["params"]
    settings = Settings.from_environment()
    if parameters["engine"] == "spark":
        settings = replace(settings, spark_master=_spark_master(settings.spark_master))
    place = workspace or f"{settings.workspaces.rstrip('/')}/{folder_name(run.run_id)}"
    with open_workspace(place, run.run_id) as opened:
        yield Pipeline(
            run=run,
            workspace=opened,
            engine=parameters["engine"],
            connect=open_features_db,
            settings=settings,
            store=open_place(settings.store),
            open_source=partial(
                resolve_source, roots=settings.source_roots, open_filesystem=open_filesystem
            ),
            timeout_seconds=context["task"].execution_timeout.total_seconds(),
        )


def _spark_master(default: str) -> str:
    """The Spark master of the Airflow connection ``features_spark``; the default without one.

    As a URI: ``spark://host:7077``, or ``sc://host:15002`` for Spark Connect. As in Airflow's own
    Spark provider, the host may be the whole master: ``local[*]``, ``yarn``, ``spark://host``.

    Raises:
        ConfigurationError: the connection is of another type, or has no host.
    """
    try:
        connection = Connection.get(SPARK_CONNECTION_ID)
    except AirflowNotFoundException:
        return default
    host = connection.host or ""
    schemes = {"spark": "spark", "sc": "sc", "spark_connect": "sc"}
    if not host or connection.conn_type not in schemes:
        raise ConfigurationError(
            f"the Airflow connection {SPARK_CONNECTION_ID} names no Spark: expected the type spark "
            "or sc (Spark Connect), and a host"
        )
    if "://" not in host and not host.startswith(("local", "yarn")):
        host = f"{schemes[connection.conn_type]}://{host}"
    return f"{host}:{connection.port}" if connection.port else host
