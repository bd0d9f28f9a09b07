"""No load takes features away unseen: what a run takes by default, and how every run ends."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.local_stack import RUNS, SAMPLE, Stack
from receivers import Mailbox, body
from waiting import wait_until

pytestmark = [pytest.mark.xdist_group("runs"), pytest.mark.timeout(900)]

ACCEPTED = ("--conf", '{"max_removed_percent": 100}')
USERS = "user_id,name,email,signup_date\n"
COMPOUNDS = "compound_id,compound_name,compound_structure\n1,Water,O\n"
EXPERIMENTS = "experiment_id,user_id,experiment_compound_ids,experiment_run_time\n"


@pytest.fixture(scope="module")
def away_from_sample(stack: Stack, loaded: dict[str, Any]) -> Iterator[None]:
    """Loads the sample again at the end, for other tests."""
    assert loaded["status"] == "loaded"
    yield
    load(stack, SAMPLE)


@pytest.fixture
def laboratory(stack: Stack, away_from_sample: None) -> Path:  # noqa: ARG001
    """A drop of 60 users that is the last load."""
    drop = stack.drops / "laboratory"
    shutil.rmtree(drop, ignore_errors=True)
    drop.mkdir()
    write(drop, 60)
    assert load(stack, drop)["users"] == 60
    return drop


def load(stack: Stack, drop: Path) -> dict[str, Any]:
    """Loads a drop, whatever it removes, by the command line, which is quicker than a run in Airflow."""
    done = stack.run("features.sh", "run", drop, "--max-removed-percent", "100", "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def write(drop: Path, users: int, run_time: str = "10") -> None:
    """Writes a drop of so many users, each with an experiment."""
    lines = [f"{i},user {i},u{i}@example.org,2024-01-01\n" for i in range(1, users + 1)]
    experiments = [f"{i},{i},1,{run_time}\n" for i in range(1, users + 1)]
    (drop / "users.csv").write_text(USERS + "".join(lines))
    (drop / "compounds.csv").write_text(COMPOUNDS)
    (drop / "user_experiments.csv").write_text(EXPERIMENTS + "".join(experiments))


def entry(stack: Stack, run_id: str) -> dict[str, Any]:
    """The ledger's entry for a run, as a reader may see it."""
    (row,) = stack.query(
        "select status, task, error, given_source, source, trigger, triggered_by, notices "
        "from features.pipeline_runs where run_id = %s",
        run_id,
    )
    return row


def form(stack: Stack, conf: dict[str, Any]) -> dict[str, Any]:
    """Runs the DAG as Airflow's form does."""
    body = {"logical_date": None, "conf": conf, "dag_run_id": None, "note": ""}
    run = stack.call(RUNS, body, cookie=stack.token())
    end = stack.wait_for_run(run["dag_run_id"])
    return {"state": end["state"], "run_id": run["dag_run_id"], **(end["results"]["load"] or {})}


@pytest.mark.thorough
def test_a_run_without_a_source_keeps_the_laboratorys_features(
    stack: Stack, laboratory: Path
) -> None:
    """Trigger, Trigger, by script and by form: the sample replaces nothing.

    Nor does it take the place of a drop that is gone. The daily run is skipped: see tests/dags.
    """
    before = stack.features()
    for result in (stack.trigger(), form(stack, {"source": ""})):
        assert (result["status"], result["source"]) == ("unchanged", str(laboratory))
        assert result["given_source"] == ""
        assert entry(stack, result["run_id"])["given_source"] == ""
    shutil.rmtree(laboratory)
    assert str(laboratory) in stack.refusal()
    assert stack.features() == before


def subjects(mailbox: Mailbox, drop: Path) -> list[str]:
    """The subjects of all mails about a drop."""
    return [mail["Subject"] for mail in mailbox.mails if f"Drop: {drop}" in body(mail)]


def test_a_truncated_drop_is_held(stack: Stack, laboratory: Path, mailbox: Mailbox) -> None:
    """It changes nothing, says what to do, and is loaded once that is done."""
    before = stack.features()
    write(laboratory, 20)
    line = stack.refusal(laboratory)
    assert line.startswith("load failed: 40 of 60 users (66.6667 %) and 40 of 60 experiments")
    assert f"run {laboratory} with max_removed_percent 100" in line
    assert stack.features() == before
    (held,) = stack.query(
        "select run_id, count(*) as users from features.held_changes group by run_id"
        " order by run_id desc limit 1"
    )
    assert held["users"] == 40
    assert entry(stack, held["run_id"]) == {
        "status": "held",
        "task": "load",
        "error": "LoadHeld",
        "given_source": str(laboratory),
        "source": str(laboratory),
        "trigger": "api",
        "triggered_by": "admin",
        "notices": [],
    }
    assert stack.tries(held["run_id"])["load"] == 1
    subject = "experiment_features: load held"
    wait_until("a mail says so", lambda: subject in subjects(mailbox, laboratory))
    path = f"{RUNS}/{held['run_id']}"
    assert stack.call(path, cookie=stack.token())["note"] == str(laboratory)
    accepted = stack.trigger(laboratory, *ACCEPTED)
    assert (accepted["status"], accepted["deleted"]) == ("loaded", 40)


@pytest.mark.thorough
def test_a_wrong_load_is_taken_back(stack: Stack, laboratory: Path) -> None:
    """In one command, after which no run without a source undoes it; a number has its lines."""
    before = stack.query("select * from features.user_feature_report order by user_id")
    (right,) = stack.query(
        "select run_id from features.pipeline_runs where status = 'loaded' "
        "order by finished_at desc limit 1"
    )
    write(laboratory, 60, run_time="11")
    load(stack, laboratory)
    done = stack.run("features.sh", "restore", right["run_id"], "--json")
    assert (done.returncode, json.loads(done.stdout)["updated"]) == (0, 60), done.stderr
    after = stack.query("select * from features.user_feature_report order by user_id")
    times = {"run_id", "updated_at"}
    assert [dict(row, **dict.fromkeys(times)) for row in after] == [
        dict(row, **dict.fromkeys(times)) for row in before
    ]
    skipped = stack.run("trigger_etl.sh")
    assert (skipped.returncode, json.loads(skipped.stdout)["status"]) == (0, "skipped")
    assert f"has restored what run {right['run_id']} had loaded" in skipped.stderr
    traced = stack.run("features.sh", "trace", "7")
    assert traced.returncode == 0, traced.stderr
    assert "user_experiments.csv:8" in traced.stdout
    assert traced.stdout.splitlines()[-1] == "1 row counted, total_experiments 1: equal"
    again = stack.run("features.sh", "reproduce", right["run_id"])
    assert again.returncode == 0, again.stdout


@pytest.mark.thorough
def test_a_changed_unit_is_noticed(stack: Stack, laboratory: Path, mailbox: Mailbox) -> None:
    """The load succeeds, and its result and the ledger say what to look at."""
    write(laboratory, 60, run_time="600")
    result = stack.trigger(laboratory)
    (notice,) = result["notices"]
    assert notice.startswith("the mean run time of all experiments was 10 and is now 600")
    assert entry(stack, result["run_id"])["notices"] == [notice]
    subject = "experiment_features: loaded, but needs attention"
    wait_until("a mail says so", lambda: subject in subjects(mailbox, laboratory))


@pytest.mark.thorough
def test_a_refused_run_is_in_the_ledger(stack: Stack, loaded: dict[str, Any]) -> None:
    """Also one whose source was never found: with the task and the kind of error.

    The message names file and column, or the folders that may be read; the features stay.
    """
    assert loaded["status"] == "loaded"
    before = stack.features()
    bad, link = stack.drops / "without_a_column", stack.drops / "link"
    bad.mkdir()
    write(bad, 1)
    (bad / "users.csv").write_text("user_id,name\n1,Ann\n")
    line = stack.refusal(bad)
    assert "users.csv" in line
    assert "email" in line
    link.symlink_to("/etc")
    line = stack.refusal(link)
    assert f"'{link}' lies outside the folders that runs may read" in line
    assert str(SAMPLE.parent) in line
    assert stack.features() == before
    rows = stack.query(
        "select status, task, error, given_source, source, error_file, error_line, error_column"
        " from features.pipeline_runs order by started_at desc limit 2"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("refused", "extract", "ConfigurationError", str(link), None, None, None, None),
        (
            *("refused", "extract", "DropRefused", str(bad), str(bad)),
            *("users.csv", 1, "email"),
        ),
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("percent", ["-1", "101", '"20"', "NaN", "null"])
def test_no_percentage_is_refused_at_once(stack: Stack, percent: str) -> None:
    """No run is made of it."""
    conf = f'{{"max_removed_percent": {percent}}}'
    runs = "select count(*) from dag_run"
    before = stack.ask_airflow(runs)
    assert "max_removed_percent" in stack.refusal("--conf", conf) or percent == "NaN"
    assert stack.ask_airflow(runs) == before
