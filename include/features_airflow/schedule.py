"""When the DAG runs, which assets it waits for and updates, and which errors it retries."""

from datetime import timedelta

from airflow.sdk import Asset, AssetOrTimeSchedule, AssetWatcher, CronTriggerTimetable
from airflow.sdk.bases.timetable import BaseTimetable
from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowRuntimeError
from croniter import croniter

from experiment_features.config import Settings
from experiment_features.definitions import RELATIONS
from experiment_features.errors import ConfigurationError, TransientError
from experiment_features.visible_text import shown
from features_airflow import DROPS_ASSET
from features_airflow.ready_marker import ReadyMarkerTrigger

# A task gets the second error when Airflow's API server is away for longer than it waits.
RETRIED = (TransientError, AirflowRuntimeError)
RETRY_TRANSIENT = ExceptionRetryPolicy(
    [RetryRule(list(RETRIED), RetryAction.DEFAULT)],
    default=RetryAction.FAIL,
)
"""Transient errors are retried; bad input fails at once, and so does a bug."""


def _watchers() -> list[AssetWatcher]:
    """What announces new drops; empty when watching is switched off."""
    settings = Settings.from_environment()
    if not settings.watched_folders:
        return []
    trigger = ReadyMarkerTrigger(settings.watched_folders, settings.keep_days)
    return [AssetWatcher(name="ready_marker", trigger=trigger)]


DROPS = Asset(DROPS_ASSET, watchers=_watchers())
"""Complete drops; the payload of an event has the `source` of one."""

FEATURES = [Asset(relation.name) for relation in RELATIONS]
"""The relations in PostgreSQL; the extra of an event is the result of the run."""


def daily_or_on_arrival() -> BaseTimetable | list[Asset]:
    """Every day at 02:00 UTC, or as the setting says, and whenever a drop is complete.

    With a start date in the past, every new installation would start a run at once. Without one,
    the first run is due at the next time, with five minutes' grace for a late scheduler.

    Raises:
        ConfigurationError: the setting is no cron expression, or one that never comes.
    """
    cron = Settings.from_environment().schedule
    if cron == "off":
        return [DROPS]
    try:
        croniter(cron).get_next()
    except ValueError as error:
        raise ConfigurationError(
            f"EXPERIMENT_FEATURES_SCHEDULE is '{shown(cron)}': expected a cron expression such as "
            "'0 2 * * *', every day at 02:00 UTC, or off"
        ) from error
    daily = CronTriggerTimetable(cron, timezone="UTC", run_immediately=timedelta(minutes=5))
    return AssetOrTimeSchedule(timetable=daily, assets=[DROPS])
