"""What those who watch are told of a run: log lines, metrics, lineage.

Airflow adds the ids of run and task to every line. Metrics go where Airflow's own go (StatsD or
OpenTelemetry), lineage where OpenLineage is told to; unless that is configured they go nowhere.
docs/operations.md lists them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import structlog
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk.lineage import get_hook_lineage_collector
from airflow.sdk.observability import stats

from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import PipelineError

PREFIX = "experiment_features"
TABLES = ("user_features", "compound_features", "pipeline_runs", "data_issues")

log = structlog.get_logger("experiment_features.stages")


@contextmanager
def count_failures() -> Iterator[None]:
    """Counts what goes wrong inside, by kind."""
    try:
        yield
    except PipelineError as error:
        stats.incr(f"{PREFIX}.failures.{type(error).__name__}")
        raise


def report(stage: str, counts: dict[str, Any]) -> None:
    """Logs the end of a stage with its counts, and sends its metrics.

    Args:
        stage: extract, validate, transform or load.
        counts: what the stage found out: see run.py.
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


def tell_read(source: AnyPath) -> None:
    """Names the drop as what the current task has read."""
    get_hook_lineage_collector().add_input_asset(context=source, uri=source.as_uri())


def tell_written(hook: DbApiHook) -> None:
    """Names the tables as what the current task has written."""
    database = hook.get_connection(hook.get_conn_id())
    host = database.host or ""
    if host.startswith("/") or not host:  # the folder of a socket: a server on this machine
        host = "localhost"
    place = f"postgres://{host}:{database.port or 5432}/{database.schema}/features"
    for table in TABLES:
        get_hook_lineage_collector().add_output_asset(context=hook, uri=f"{place}/{table}")
