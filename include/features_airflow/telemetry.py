"""Reports a run to the outside: log lines, metrics, lineage.

Airflow adds the ids of run and task to every log line. Metrics go where Airflow's own metrics go
(StatsD or OpenTelemetry), lineage where OpenLineage is configured to send it; without such a
setting nothing is sent. docs/operations.md lists them all.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.sdk.observability import stats
from airflow.sdk.plugins_manager import get_hook_lineage_readers_plugins

from experiment_features.definitions import RELATIONS
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import NothingToDo, PipelineError
from features_airflow.features_db import CONNECTION_ID

PREFIX = "experiment_features"
TABLES = (*(relation.name for relation in RELATIONS), "pipeline_runs", "data_issues")

log = structlog.get_logger("experiment_features.stages")


@contextmanager
def count_failures() -> Iterator[None]:
    """Counts the errors raised inside, by kind."""
    try:
        yield
    except NothingToDo:
        raise
    except PipelineError as error:
        stats.incr(f"{PREFIX}.failures.{type(error).__name__}")
        raise


def report(stage: str, counts: dict[str, Any]) -> None:
    """Logs the end of a stage with its counts, and sends its metrics.

    Args:
        stage: extract, validate, transform or load.
        counts: what the stage returned: see run.py.
    """
    log.info("stage done", **counts)
    for name, metric in (("rows", "rows_read"), ("rejected", "rows_rejected")):
        for table, count in counts.get(name, {}).items():
            stats.gauge(f"{PREFIX}.{metric}.{table}", count)
    if stage == "load":
        written = counts["inserted"] + counts["updated"] + counts["deleted"]
        stats.gauge(f"{PREFIX}.rows_written", written)
        stats.gauge(f"{PREFIX}.last_success_at", time.time())
        for name, seconds in counts["seconds"].items():
            stats.timing(f"{PREFIX}.stage.{name}", timedelta(seconds=seconds))


def record_input(source: AnyPath) -> None:
    """Records the drop as an input of the current task."""
    if _is_lineage_read():
        get_hook_lineage_collector().add_input_asset(context=source, uri=source.as_uri())


def record_outputs() -> None:
    """Records the tables of the features database as outputs of the current task."""
    if not _is_lineage_read():
        return
    hook = PostgresHook(CONNECTION_ID)
    database = hook.get_connection(CONNECTION_ID)
    host = database.host or ""
    if host.startswith("/") or not host:  # a socket's folder: the server is on this machine
        host = "localhost"
    place = f"postgres://{host}:{database.port or 5432}/{database.schema}/features"
    for table in TABLES:
        get_hook_lineage_collector().add_output_asset(context=hook, uri=f"{place}/{table}")


def _is_lineage_read() -> bool:
    """Whether lineage is sent anywhere; if not, Airflow's collector would still import boto3."""
    return bool(get_hook_lineage_readers_plugins())
