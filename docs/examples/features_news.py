"""Example of a DAG that runs whenever the features were loaded or found unchanged.

Put it into a DAG folder of the same Airflow, and unpause it. Both assets are updated by the task
`load` of the DAG `experiment_features`; the extra of an event is the run's result.
"""

from typing import Any

from airflow.sdk import Asset, dag, task
from airflow.sdk.exceptions import AirflowSkipException

USER_FEATURES = Asset("user_features")
COMPOUND_FEATURES = Asset("compound_features")


@task
def tell(triggering_asset_events: Any = None) -> str:
    """Sums up what the last load changed; here could be an export, a model, a message."""
    events = triggering_asset_events[USER_FEATURES]  # several loads may start one run
    result = max(events, key=lambda event: event.timestamp).extra
    if result["status"] == "unchanged":
        raise AirflowSkipException("nothing new")
    return (
        f"{result['users']} users: {result['inserted']} new, {result['updated']} changed, "
        f"{result['deleted']} gone (run {result['run_id']})"
    )


@dag(schedule=[USER_FEATURES, COMPOUND_FEATURES], catchup=False)
def features_news() -> None:
    """Runs once both relations are up to date."""
    tell()


features_news()
