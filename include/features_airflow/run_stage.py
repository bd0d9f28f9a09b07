"""Runs a stage of the pipeline for the Airflow task that asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Connection, Context, get_current_context
from airflow.sdk.exceptions import AirflowNotFoundException

from experiment_features.config import Settings
from experiment_features.errors import ConfigurationError, DropRejected
from experiment_features.load.database import database_errors
from experiment_features.load.ledger import find_last_success
from experiment_features.pipeline import Pipeline
from experiment_features.run import Extracted, Run, Validated
from experiment_features.workspace import folder_name
from features_airflow import telemetry
from features_airflow.choose_drop import choose_drop
from features_airflow.features_db import open_features_db
from features_airflow.object_storage import open_workspace
from features_airflow.schedule import FEATURES

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
    """
    context = get_current_context()
    with telemetry.count_failures(), pipeline_of_run(workspace) as pipeline:
        try:
            found = (
                _extract(context, pipeline) if stage == "extract" else getattr(pipeline, stage)()
            )
        except DropRejected:
            telemetry.report(stage, asdict(pipeline.workspace.found(Validated)))
            raise
        counts: dict[str, Any] = found.counts() if found else {}
        place = str(pipeline.workspace)
    telemetry.report(stage, counts)
    if stage == "load":
        telemetry.record_outputs()
        for asset in FEATURES:
            context["outlet_events"][asset].extra = counts
        return counts
    return {"workspace": place, **counts}


def _extract(context: Context, pipeline: Pipeline) -> Extracted:
    source = choose_drop(context, pipeline)
    context["ti"].xcom_push("source", str(source))  # alerts name it
    telemetry.record_input(source)
    return pipeline.extract(source)


def last_success() -> datetime | None:
    """When a run last ended as loaded or unchanged; None if none has."""
    with open_features_db() as connection, database_errors("read the run ledger"):
        return find_last_success(connection)


@contextmanager
def pipeline_of_run(workspace: str | None = None) -> Iterator[Pipeline]:
    """The pipeline of the current task's run.

    Args:
        workspace: the URI that the task before handed on; the first task makes a new one.
    """
    context = get_current_context()
    dag_run, parameters = context["dag_run"], context["params"]
    settings = Settings.from_environment()
    if parameters["engine"] == "spark":
        settings = replace(settings, spark_master=_spark_master(settings.spark_master))
    trigger = TRIGGERS.get(str(dag_run.run_type.value), "manual")
    run = Run(
        run_id=dag_run.run_id,
        trigger="api" if dag_run.run_id.startswith(API_PREFIX) else trigger,
        started_at=dag_run.start_date or dag_run.run_after,
        today=dag_run.run_after.astimezone(UTC).date(),
        max_rejected_percent=parameters["max_rejected_percent"],
        allow_empty=parameters["allow_empty"],
        force=parameters["force"],
    )
    place = workspace or f"{settings.workspaces.rstrip('/')}/{folder_name(run.run_id)}"
    with open_workspace(place, run.run_id) as opened:
        yield Pipeline(
            run=run,
            workspace=opened,
            engine=parameters["engine"],
            connect=open_features_db,
            settings=settings,
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
