"""Sends alerts when a run fails, a drop is rejected, or a load is held, overdue or needs attention.

EXPERIMENT_FEATURES_ALERTS says to whom: e-mail addresses separated by commas (sent through the
Airflow connection `smtp_default`), or a JSON list of any of Airflow's notifiers,

    [{"notifier": "airflow.providers.slack.notifications.slack_webhook.SlackWebhookNotifier",
      "text": "{{ alert.subject }}: {{ alert.message }}"}]

Unset, no alerts are sent. An alert names the kind of error, the run, and where to look; rows and
values, which may be personal data, stay in the log and the database.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from typing import Any

from airflow.sdk import Context, DeadlineAlert, DeadlineReference, SyncCallback
from airflow.sdk.configuration import conf

from experiment_features.config import Settings
from experiment_features.errors import ConfigurationError, DropRejected, LoadHeld, PipelineError
from experiment_features.visible_text import escape

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"


_HEADINGS: dict[type, str] = {DropRejected: "drop rejected", LoadHeld: "load held"}


@dataclass(frozen=True)
class Alert:
    """What a notifier's templates may use: {{ alert.subject }}, {{ alert.message }}."""

    subject: str
    message: str


def notifiers() -> list[dict[str, Any]]:
    """The configured notifiers, each with its arguments.

    Raises:
        ConfigurationError: the setting is neither addresses nor a JSON list of notifiers.
    """
    setting = Settings.from_environment().alerts
    if not setting.startswith("["):
        addresses = [address.strip() for address in setting.split(",") if address.strip()]
        if not all("@" in address for address in addresses):
            raise ConfigurationError(  # not repeating it: it may have a webhook's secret
                "EXPERIMENT_FEATURES_ALERTS cannot be read: expected e-mail addresses separated "
                "by commas, or a JSON list of notifiers"
            )
        mail = {
            "subject": "{{ alert.subject }}",
            "html_content": "<pre>{{ alert.message | e }}</pre>",
        }
        return [{"notifier": SMTP, "to": addresses, **mail}] if addresses else []
    try:
        configured = json.loads(setting)
        return [{**each, "notifier": str.strip(each["notifier"])} for each in configured]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ConfigurationError(
            "EXPERIMENT_FEATURES_ALERTS cannot be read: expected a JSON list of objects with "
            f'"notifier", the class, and its arguments ({error})'
        ) from error


def alert_failure(context: Context) -> None:
    """Enters in the ledger that a task has failed for good, and sends an alert."""
    from features_airflow.run_stage import end_run_of

    error = context.get("exception")
    error = error if isinstance(error, BaseException) else None
    try:
        end_run_of(context, error)
    finally:
        _send_failure(context, error)


def alert_death(context: Context) -> None:
    """Does the same for a failed run that its task has not ended, as alert_failure would have.

    If the process of the last try is killed, its supervisor reports that the task has failed, and
    Airflow calls nothing but the DAG's own callback, in the DAG processor.
    """
    from features_airflow.run_stage import end_run_of

    if "ti" in context and end_run_of(context, None):
        _send_failure(context, None)


def _send_failure(context: Context, error: BaseException | None) -> None:
    task = context["ti"]
    what = _HEADINGS.get(type(error), f"{task.task_id} failed")
    state = (
        "The features are still those of the last load, or those of this drop if its load had just "
        "been committed: see features.pipeline_runs. docs/operations.md says what to do."
    )
    lines = [f"What: {_describe(error)}", *_places(context), state]
    _send(Alert(f"{task.dag_id}: {what}", _text(lines)), context)


def alert_notices(context: Context) -> None:
    """Sends an alert if the load that has just succeeded needs attention."""
    task = context["ti"]
    notices = (task.xcom_pull(task_ids=task.task_id) or {}).get("notices")
    if notices:
        lines = [*(f"What: {notice}" for notice in notices), *_places(context)]
        _send(Alert(f"{task.dag_id}: loaded, but needs attention", _text(lines)), context)


def _text(lines: Sequence[str]) -> str:
    """The lines as a message; a line break in a name looks like none of them."""
    return "\n".join(map(escape, lines))


def _places(context: Context) -> list[str]:
    """Which run an alert is about, and where to look."""
    task = context["ti"]
    source = task.xcom_pull(task_ids="extract", key="source")
    return [
        f"Run: {context['dag_run'].run_id}, task {task.task_id}",
        f"Drop: {source or 'not known yet'}",
        f"Where to look: {task.log_url}",
    ]


def deadline() -> DeadlineAlert | None:
    """Has Airflow call `alert_overdue` for a run that has not succeeded in time.

    None without alerts, and where tasks run in pods: KubernetesExecutor cannot run such a callback,
    and being given one ends the scheduler (apache/airflow#70475).
    """
    if not notifiers() or "KubernetesExecutor" in conf.get("core", "executor"):
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=Settings.from_environment().deadline_hours),
        callback=SyncCallback(alert_overdue),
    )


def alert_overdue(context: Context) -> None:
    """Sends the alert of an overdue run, unless another run has succeeded in the meantime."""
    from features_airflow.run_stage import last_success

    hours = Settings.from_environment().deadline_hours
    try:
        last = last_success()
    except PipelineError as error:
        seen = f"unknown ({type(error).__name__})"
    else:
        if last and datetime.now(UTC) - last < timedelta(hours=hours):
            return
        seen = f"{last:%Y-%m-%d %H:%M} UTC" if last else "never"
    lines = [
        f"What: no run has ended as loaded or unchanged for more than {hours} hours",
        f"Last success: {seen}",
        f"Overdue run: {context['dag_run']['dag_run_id']}",
        "Where to look: the DAG's runs in Airflow; docs/operations.md says what to do.",
    ]
    _send(Alert(f"{context['dag_run']['dag_id']}: no load in {hours} hours", _text(lines)), {})


def _describe(error: BaseException | None) -> str:
    """An error by its kind alone: its message may quote the drop."""
    if isinstance(error, PipelineError):
        return f"{type(error).__name__}: {(type(error).__doc__ or '').splitlines()[0]}"
    return type(error).__name__ if error else "the task was killed from outside"


def _send(alert: Alert, context: Context) -> None:
    """Sends an alert by all notifiers; if some fail, the log has each error.

    Raises:
        ExceptionGroup: what went wrong.
    """
    errors = []
    for configured in notifiers():
        arguments = {name: value for name, value in configured.items() if name != "notifier"}
        try:
            notify = resolve_name(configured["notifier"])(**arguments)
            notify({**context, "alert": alert})
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are to be asked
            errors.append(error)
    if errors:
        raise ExceptionGroup("an alert could not be sent", errors)
