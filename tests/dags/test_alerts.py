"""Alerts: off until configured, sent by a real mail server, and silent about what rows hold."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import Connection

from experiment_features.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    DropRefused,
    DropRejected,
    LoadHeld,
)
from features_airflow import alerts
from receivers import Mailbox, body, receive_mails

SETTING = "EXPERIMENT_FEATURES_ALERTS"


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """The errors reported to a ledger with a running run; tests/e2e writes them to a real one."""
    from features_airflow import run_stage

    errors: list[BaseException | None] = []

    def end_run_of(_context: object, error: BaseException | None) -> bool:
        errors.append(error)
        return len(errors) == 1

    monkeypatch.setattr(run_stage, "end_run_of", end_run_of)
    return errors


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """A mail server, and alerts that go there."""
    with receive_mails() as mailbox:
        connection = Connection.from_json(mailbox.connection, conn_id="smtp_default")
        monkeypatch.setattr(SmtpHook, "get_connection", lambda *_: connection)
        monkeypatch.setenv(SETTING, "one@example.org, two@example.org")
        yield mailbox


def failure(error: BaseException | None) -> dict[str, Any]:
    """What Airflow tells of a task that has failed."""
    task = SimpleNamespace(
        dag_id="experiment_features",
        task_id="validate",
        log_url="http://airflow/log",
        xcom_pull=lambda **_: "/drops/<2026>",
    )
    return {
        "ti": task,
        "exception": error,
        "dag_run": SimpleNamespace(run_id="run {{ 1 / 0 }}"),
    }


def test_a_failure_is_told_with_what_happened_and_where_to_look(inbox: Mailbox) -> None:
    """Names are quoted: neither HTML nor a template in them does anything."""
    alerts.alert_failure(failure(DropRefused("users.csv line 7: jane@example.org")))
    (mail,) = inbox.mails
    assert mail["Subject"] == "experiment_features: validate failed"
    assert mail["To"] == "one@example.org, two@example.org"
    text = body(mail)
    assert "DropRefused: The drop cannot be read" in text
    for part in ("run {{ 1 / 0 }}", "/drops/&lt;2026&gt;", "http://airflow/log", "operations.md"):
        assert part in text


def test_a_name_cannot_add_a_line(inbox: Mailbox) -> None:
    """Line breaks in the name of a drop's folder are shown."""
    context = failure(None)
    context["ti"].xcom_pull = lambda **_: "/drops/1\nWhere to look: http://elsewhere"
    alerts.alert_failure(context)
    (mail,) = inbox.mails
    assert "Drop: /drops/1\\nWhere to look: http://elsewhere" in body(mail)


def test_no_personal_data_leave_the_house(inbox: Mailbox) -> None:
    """An error's message may quote a row; the mail tells its kind alone."""
    alerts.alert_failure(failure(DropRefused("users.csv line 7: jane@example.org")))
    alerts.alert_failure(failure(ValueError("jane@example.org")))
    assert len(inbox.mails) == 2
    assert not [mail for mail in inbox.mails if "jane" in mail.as_string()]
    assert not [mail for mail in inbox.mails if "jane" in body(mail)]


@pytest.mark.parametrize(
    ("error", "subject", "what"),
    [
        (DropRejected("3 rows"), "drop rejected", "More rows of a table are faulty"),
        (LoadHeld("180 of 200 users"), "load held", "would remove more than the run allows"),
        (DatabaseUnavailable("away"), "validate failed", "PostgreSQL could not be reached"),
        (ValueError("bug"), "validate failed", "What: ValueError\n"),
        (None, "validate failed", "the task was killed from outside"),
    ],
)
def test_the_kind_of_failure_is_said(
    inbox: Mailbox,
    ended: list[BaseException | None],
    error: BaseException | None,
    subject: str,
    what: str,
) -> None:
    """The subject already names a rejected drop or a held load; the ledger gets it as well."""
    alerts.alert_failure(failure(error))
    assert ended == [error]
    assert inbox.mails[0]["Subject"] == f"experiment_features: {subject}"
    assert what in body(inbox.mails[0])


def test_a_death_is_told_once(inbox: Mailbox, ended: list[BaseException | None]) -> None:
    """By the DAG's callback, unless the task's own has ended the run before; or no task failed."""
    alerts.alert_death({"run_id": "a run that was marked failed"})
    assert not ended
    alerts.alert_death(failure(None))
    alerts.alert_death(failure(None))
    assert ended == [None, None]
    assert [mail["Subject"] for mail in inbox.mails] == ["experiment_features: validate failed"]
    assert "the task was killed from outside" in body(inbox.mails[0])


@pytest.mark.parametrize("notices", [[], ["the mean run time of all experiments was 10"]])
def test_a_load_that_is_worth_a_look_is_told(inbox: Mailbox, notices: list[str]) -> None:
    """A load with notices has succeeded, and someone should look at it; others send nothing."""
    context = failure(None)
    context["ti"].xcom_pull = lambda key="", **_: "/drops/1" if key else {"notices": notices}
    alerts.alert_notices(context)
    assert len(inbox.mails) == len(notices)
    for mail in inbox.mails:
        assert mail["Subject"] == "experiment_features: loaded, but needs attention"
        assert "the mean run time of all experiments was 10" in body(mail)
        assert "/drops/1" in body(mail)


@pytest.mark.parametrize(
    ("last_success_hours_ago", "told"),
    [(25, "Last success: 20"), (None, "Last success: never"), (1, None)],
    ids=["overdue", "never_loaded", "another_run_has_loaded"],
)
def test_an_overdue_load_is_told(
    inbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    last_success_hours_ago: int | None,
    told: str | None,
) -> None:
    """The deadline is a run's; what counts is whether any run has loaded since."""
    from features_airflow import run_stage

    hours = last_success_hours_ago
    last = datetime.now(UTC) - timedelta(hours=hours) if hours else None
    monkeypatch.setattr(run_stage, "last_success", lambda: last)
    dag_run = {"dag_id": "experiment_features", "dag_run_id": "scheduled__1"}
    alerts.alert_overdue({"dag_run": dag_run})
    assert [mail["Subject"] for mail in inbox.mails] == (
        ["experiment_features: no load in 24 hours"] if told else []
    )
    if told:
        assert told in body(inbox.mails[0])
        assert "scheduled__1" in body(inbox.mails[0])


def test_an_overdue_load_is_told_when_the_database_is_away(
    inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may well be the reason."""
    monkeypatch.setenv("AIRFLOW_CONN_FEATURES_DB", "postgres://reader@127.0.0.1:1/features")
    alerts.alert_overdue({"dag_run": {"dag_id": "d", "dag_run_id": "r"}})
    assert "unknown (DatabaseUnavailable)" in body(inbox.mails[0])


def test_nobody_is_told_until_somebody_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And no deadline is kept."""
    monkeypatch.delenv(SETTING, raising=False)
    with caplog.at_level(logging.WARNING):
        alerts.alert_failure(failure(ValueError()))
    assert caplog.records == []
    assert alerts.deadline() is None


def test_pods_keep_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their executor cannot tell of it, and a scheduler that asked it to would end."""
    monkeypatch.setenv(SETTING, "one@example.org")
    assert alerts.deadline() is not None
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "KubernetesExecutor")
    assert alerts.deadline() is None


def test_the_deadline_is_as_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many hours after a run was due, by a function that Airflow finds by its name."""
    monkeypatch.setenv(SETTING, "one@example.org")
    monkeypatch.setenv("EXPERIMENT_FEATURES_DEADLINE_HOURS", "30")
    deadline = alerts.deadline()
    assert deadline is not None
    assert deadline.interval == timedelta(hours=30)
    assert deadline.callback.path == "features_airflow.alerts.alert_overdue"


def test_any_notifier_can_be_configured(inbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its class and its arguments, whose texts may use the alert."""
    notifier = {"notifier": alerts.SMTP, "to": "pager@example.org"}
    notifier |= {"subject": "Lab: {{ alert.subject }}", "html_content": "{{ alert.message }}"}
    monkeypatch.setenv(SETTING, json.dumps([notifier]))
    alerts.alert_failure(failure(DropRejected("3 rows")))
    assert inbox.mails[0]["Subject"] == "Lab: experiment_features: drop rejected"


def test_a_notifier_that_fails_keeps_no_other_from_it(
    inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its class may be misspelled; the error is raised afterwards, for the log."""
    mail = {"notifier": alerts.SMTP, "to": "pager@example.org", "subject": "x", "html_content": "x"}
    broken = [{"notifier": "airflow.nowhere.Notifier"}, {**mail, "nonsense": 1}]
    monkeypatch.setenv(SETTING, json.dumps([*broken, mail]))
    with pytest.raises(ExceptionGroup, match="alert could not be sent") as caught:
        alerts.alert_failure(failure(None))
    assert len(caught.value.exceptions) == 2
    assert [mail["To"] for mail in inbox.mails] == ["pager@example.org"]


@pytest.mark.parametrize(
    "setting", ["https://chat/hook/hunter2", '{"notifier": "x", "token": "hunter2"}', "hunter2"]
)
def test_a_setting_that_cannot_be_read_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Everybody who sees the DAG sees why it was not imported."""
    monkeypatch.setenv(SETTING, setting)
    with pytest.raises(ConfigurationError, match=SETTING) as caught:
        alerts.notifiers()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        *("nobody", "a@b, c", "[1]", '[{"to": "a@b"}]', "[{", '[{"notifier": null}]'),
        "[" * 100_000,
    ],
    ids=lambda setting: setting[:20],
)
def test_a_setting_that_cannot_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """When the DAG is imported, not on the morning when somebody should be told."""
    monkeypatch.setenv(SETTING, setting)
    with pytest.raises(ConfigurationError, match=SETTING):
        alerts.deadline()


def test_a_deadline_stored_by_an_earlier_version_finds_its_callback() -> None:
    """By the path of then: a run that was due before an upgrade may be overdue after it."""
    assert resolve_name("alerts.alert_overdue") is alerts.alert_overdue
