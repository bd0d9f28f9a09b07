"""From Airflow's terms to the pipeline's: the only place that knows both."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowNotFoundException

from experiment_features.config import Settings
from experiment_features.errors import ConfigurationError, DropRejected
from experiment_features.load.database import Connection, database_errors
from experiment_features.load.ledger import find_last_success
from experiment_features.pipeline import Pipeline
from experiment_features.run import Extracted, Run, Validated
from experiment_features.workspace import folder_name
from features_airflow import telemetry
from features_airflow.choose_drop import source_of_run
from features_airflow.object_storage import open_workspace
from features_airflow.schedule import FEATURES

CONNECTION_ID = "features_db"
SPARK_CONNECTION_ID = "features_spark"

TRIGGERS = {
    "scheduled": "scheduled",
    "backfill": "backfill",
    "asset_triggered": "asset",
}
"""Airflow's run types as the ledger calls them; all others are manual."""

API_RUN_ID = "api__"
"""A run whose id begins so was triggered over REST: Airflow does not tell its tasks."""


def run_stage(stage: str, workspace: str | None = None) -> dict[str, Any]:
    """Runs a stage of the run that the current task belongs to, and tells those who watch.

    Args:
        stage: extract, validate, transform or load.
        workspace: the URI that the task before handed on.

    Returns:
        What the stage hands on, the last one the run's result.
    """
    context = get_current_context()
    with telemetry.count_failures(), pipeline_of_run(workspace) as pipeline:
        try:
            found = (
                _extract(context, pipeline) if stage == "extract" else getattr(pipeline, stage)()
            )
        except DropRejected:
            telemetry.report(stage, pipeline.workspace.found(Validated).counts())
            raise
        counts: dict[str, Any] = found.counts() if found else {}
        place = str(pipeline.workspace)
    telemetry.report(stage, counts)
    if stage == "load":
        telemetry.tell_written(PostgresHook(CONNECTION_ID))
        for asset in FEATURES:
            context["outlet_events"][asset].extra = counts
        return counts
    return {"workspace": place, **counts}


def _extract(context: Any, pipeline: Pipeline) -> Extracted:
    source = source_of_run(context, pipeline)
    context["ti"].xcom_push("source", str(source))  # for alerts
    telemetry.tell_read(source)
    return pipeline.extract(source)


def last_success() -> datetime | None:
    """When a run last ended with features that are this day's: loaded, or found unchanged."""
    with _connect() as connection, database_errors("read the run ledger"):
        return find_last_success(connection)


@contextmanager
def pipeline_of_run(workspace: str | None = None) -> Iterator[Pipeline]:
    """The stages of the run that the current task belongs to.

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
        trigger="api" if dag_run.run_id.startswith(API_RUN_ID) else trigger,
        started_at=dag_run.start_date or dag_run.run_after,
        today=dag_run.run_after.astimezone(UTC).date(),
        max_rejected_percent=parameters["max_rejected_percent"],
        allow_empty=parameters["allow_empty"],
        force=parameters["force"],
    )
    place = workspace or f"{settings.workspaces.rstrip('/')}/{folder_name(run.run_id)}"
    with open_workspace(place) as opened:
        yield Pipeline(
            run=run,
            workspace=opened,
            engine=parameters["engine"],
            connect=_connect,
            settings=settings,
            timeout_seconds=context["task"].execution_timeout.total_seconds(),
        )


@contextmanager
def _connect() -> Iterator[Connection]:
    """Opens the Airflow connection ``features_db``."""
    # libpq waits for minutes for a host that does not answer; the connection's own setting wins.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "10")
    try:
        with database_errors(f"connect to the database of {CONNECTION_ID}"):
            connection = PostgresHook(CONNECTION_ID).get_conn()
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"the Airflow connection {CONNECTION_ID} is not defined: add it under Admin, "
            f"Connections, or set AIRFLOW_CONN_{CONNECTION_ID.upper()}"
        ) from None
    with closing(connection):
        yield connection


def _spark_master(default: str) -> str:
    """Where Spark is, by the Airflow connection ``features_spark``, if there is one.

    As a URI: ``spark://host:7077``, or ``sc://host:15002`` for Spark Connect. As Airflow's provider
    for Spark has it, the host may hold the whole master: ``local[*]``, ``yarn``, ``spark://host``.
    """
    try:
        connection = AirflowConnection.get(SPARK_CONNECTION_ID)
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
