"""What those who watch are told of a run: log lines with its id, metrics, lineage.

Metrics go where Airflow's own go (StatsD or OpenTelemetry), lineage where OpenLineage is told to;
without their configuration they go nowhere. docs/operations.md lists them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from airflow.sdk.observability import stats

from experiment_features.errors import PipelineError
from experiment_features.workspace import Facts, Workspace

log = structlog.get_logger("experiment_features.stages")


@contextmanager
def watched(stage: str, run_id: str) -> Iterator[None]:
    """Binds the run's id to every log line of a stage, and counts its failure by kind."""
    with structlog.contextvars.bound_contextvars(run_id=run_id, stage=stage):
        try:
            yield
        except PipelineError as error:
            stats.incr(f"experiment_features.failures.{type(error).__name__}")
            raise


def report(stage: str, facts: Facts, workspace: Workspace) -> None:
    """Logs the end of a stage with its counts, and sends its metrics."""
    counts = {name: value for name, value in facts.items() if name != "workspace"}
    log.info("stage done", **counts)
