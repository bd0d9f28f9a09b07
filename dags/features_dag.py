"""### Features per user from a laboratory's drop

**What.** Turns a drop (users, experiments, compounds) into features per user in PostgreSQL:
experiments, their average, most common compound; `extract >> validate >> transform >> load`, daily
(02:00 UTC by default), when `_READY` completes a drop, by the Trigger button, or over REST.

**In.** `source`: a folder with `users*.csv`, `user_experiments*.csv` and `compounds*.csv`; or
with only what has changed in them (a delta), if its manifest or `mode` says so.

**Out.** Schema `features` behind the connection `features_db`: `user_features`,
`compound_features`, `pipeline_runs`, `data_issues`; the result of `load`, for assets as well.

**What it does not do.** It guesses nothing: a faulty row goes to `data_issues` with line and rule;
an unclear drop is refused; a load that would remove much is held.

**Again.** The same drop twice is `unchanged`. Transient errors are retried; else, clear the run.

**Parameters**, here as the body of `POST /api/v2/dags/experiment_features/dagRuns`:

    {"logical_date": null, "conf": {"source": "/drops/2026-11-22", "max_rejected_percent": 5}}
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from experiment_features.run import Run
from features_airflow.alerts import alert_death, alert_failure, alert_notices, deadline
from features_airflow.schedule import DROPS, FEATURES, RETRY_TRANSIENT, daily_or_on_arrival

MINUTE = timedelta(minutes=1)

PARAMETERS = {
    "source": Param(Run.given_source, type=["string", "null"], title="Source",
        description="A folder in one of the allowed roots; empty: the drop of the last load."),
    "mode": Param(Run.mode, type="string", enum=["auto", "snapshot", "delta"], title="Mode",
        description="auto: a snapshot (everything), unless the drop declares a delta (changes)."),
    "max_rejected_percent": Param(Run.max_rejected_percent, type="number", minimum=0, maximum=100,
        title="Most rejected rows (%)", section="Quality",
        description="If more rows of any table are faulty, nothing is loaded."),
    "max_removed_percent": Param(Run.max_removed_percent, type="number", minimum=0, maximum=100,
        title="Most removed (%)", section="Quality",
        description="If more users, compounds or experiments would be removed, the load is held."),
    "allow_empty": Param(Run.allow_empty, type="boolean", title="Allow empty", section="Quality",
        description="Accept a table without rows; without users, all features are removed."),
    "engine": Param("auto", type="string", enum=["auto", "pandas", "duckdb", "spark"],
        title="Engine", section="Run",
        description="auto takes DuckDB or, for small drops, pandas; spark uses a cluster."),
    "force": Param(Run.force, type="boolean", title="Load an unchanged drop", section="Run",
        description="Load even if the files are those of the last load."),
}  # fmt: skip


@task(execution_timeout=120 * MINUTE, multiple_outputs=False, inlets=[DROPS])
def extract() -> dict[str, Any]:
    """Reads the drop's files into typed rows."""
    from features_airflow.run_stage import run_stage

    return run_stage("extract")


@task(execution_timeout=60 * MINUTE, multiple_outputs=False)
def validate(extracted: dict[str, Any]) -> dict[str, Any]:
    """Finds every faulty row, and rejects those with errors."""
    from features_airflow.run_stage import run_stage

    return run_stage("validate", extracted["workspace"])


@task(execution_timeout=60 * MINUTE, multiple_outputs=False)
def transform(validated: dict[str, Any]) -> dict[str, Any]:
    """Computes the features of the valid rows."""
    from features_airflow.run_stage import run_stage

    return run_stage("transform", validated["workspace"])


@task(execution_timeout=60 * MINUTE, multiple_outputs=False, outlets=FEATURES,
      on_success_callback=alert_notices)  # fmt: skip
def load(transformed: dict[str, Any]) -> dict[str, Any]:
    """Writes the features to PostgreSQL; returns the run's result."""
    from features_airflow.run_stage import run_stage

    return run_stage("load", transformed["workspace"])


@dag(
    schedule=daily_or_on_arrival(), start_date=None, catchup=False, max_active_runs=1,
    params=PARAMETERS, is_paused_upon_creation=False, deadline=deadline(), doc_md=__doc__,
    tags=["laboratory", "features"], on_failure_callback=alert_death, default_args={
        "owner": "laboratory-data", "on_failure_callback": alert_failure, "retries": 3,
        "retry_policy": RETRY_TRANSIENT, "retry_delay": MINUTE / 4, "retry_exponential_backoff": 2},
)  # fmt: skip
def experiment_features() -> Any:
    """The flow; the DAG's result is that of load."""
    return load(transform(validate(extract())))


experiment_features()
