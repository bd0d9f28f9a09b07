"""A plan says what a load would do, and does nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from drops import Drop, Part, Row
from experiment_features.command_line import main
from experiment_features.load.database import connect
from integration.load.test_load import FIRST, SECOND, holding_load_lock, tuples_of
from integration.running import make_drop, run_drop
from integration.servers import Database

DELTA = Drop(
    (
        Part("users", "", (Row(("4", "Dee Smith", "", "")), Row(("5", "Eve", "", "")))),
        Part("deleted_users", "", (Row(("3",)),)),
        Part("compounds", "", (Row(("3", "Marsh gas", "C")), Row(("9", "Unused", "C")))),
        Part("user_experiments", "", (Row(("3", "2", "3", "1.5")),)),
    )
)
"""After FIRST, it gives what SECOND gives."""

MANY = make_drop(dict.fromkeys(range(1, 51), "Ann"))
FEW = make_drop(dict.fromkeys(range(1, 31), "Ann"))
GONE = Drop((Part("deleted_users", "", tuple(Row((str(i),)) for i in range(31, 51))),))
"""After MANY, it gives what FEW gives."""

twenty_users_gone = pytest.mark.parametrize(
    ("mode", "drop"), [("snapshot", FEW), ("delta", GONE)], ids=["snapshot", "delta"]
)


def plan(
    database: Database, source: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, Any], str]:
    """Plans a load; returns the exit status, the JSON result and the errors."""
    command = ["run", str(source), "--dry-run", "--json", "--database-url", database.url()]
    status = main([*command, *options])
    output, errors = capsys.readouterr()
    return status, json.loads(output), errors


@pytest.mark.parametrize(
    ("mode", "drop"), [("snapshot", SECOND), ("delta", DELTA)], ids=["snapshot", "delta"]
)
def test_it_agrees_with_the_load(
    mode: str, drop: Drop, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The load that follows inserts, updates and deletes what the plan said."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    source = drop.write(tmp_path / "second")
    before = tuples_of(database), database.query("select * from features.pipeline_runs")
    status, result, errors = plan(database, source, capsys, "--mode", mode)
    assert (status, errors, result["status"]) == (0, "", "dry run")
    assert (tuples_of(database), database.query("select * from features.pipeline_runs")) == before
    changes = result["plan"].pop("changes")
    assert changes == {
        "user_features": {"inserted": 1, "updated": 2, "deleted": 1, "unchanged": 1},
        "compound_features": {"inserted": 1, "updated": 1, "deleted": 0, "unchanged": 2},
    }
    assert result["plan"] == {
        "largest_changes": [
            {"user_id": 2, "feature": name, "before": before, "after": after}
            for name, before, after in [("average_experiment_run_time", 0.5, 1.5)]
        ]
        + [
            {"user_id": 2, "feature": "most_common_compound_name", "before": "Methane"}
            | {"after": "Marsh gas"},
            {"user_id": 3, "feature": "total_experiments", "before": 0, "after": None},
            {"user_id": 4, "feature": "user_name", "before": "Dee", "after": "Dee Smith"},
            {"user_id": 5, "feature": "total_experiments", "before": None, "after": 0},
        ],
        "held": None,
    }
    loaded = run_drop(database, source, mode=mode)
    assert {name: loaded[name] for name in changes["user_features"]} == changes["user_features"]
    status, result, _ = plan(database, source, capsys, "--mode", mode)
    assert (status, result["unchanged"], result["plan"]["largest_changes"]) == (0, 4, [])


def test_the_largest_changes_come_first(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By change of total_experiments, then by relative change of the averages, then by user."""
    before = make_drop(
        {i: f"user {i}" for i in range(1, 13)},
        [(i, "1", "10") for i in range(1, 13)],
    )
    run_times = {1: "11", 2: "30", 3: "10", 4: "5"}
    after = make_drop(
        {i: f"user {i}" for i in range(2, 14)},
        [(i, "1", run_times.get(i, "20")) for i in range(2, 14)] + [(3, "1", "10")] * 4,
    )
    run_drop(database, before.write(tmp_path / "before"))
    _, result, _ = plan(database, after.write(tmp_path / "after"), capsys)
    largest = [tuple(change.values()) for change in result["plan"]["largest_changes"]]
    assert largest[:5] == [
        (3, "total_experiments", 1, 5),
        (1, "total_experiments", 1, None),
        (13, "total_experiments", None, 1),
        (2, "average_experiment_run_time", 10.0, 30.0),
        (5, "average_experiment_run_time", 10.0, 20.0),
    ]
    assert len(largest) == 10


@twenty_users_gone
def test_it_says_what_the_guard_would_say(
    mode: str, drop: Drop, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the status of a load that is held, and without an entry in the ledger."""
    run_drop(database, MANY.write(tmp_path / "many"), allow_empty=True)
    few = drop.write(tmp_path / "few")
    options = ("--allow-empty", "--mode", mode)
    status, result, errors = plan(database, few, capsys, *options)
    assert status == 1
    assert result["plan"]["held"].startswith("20 of 50 users (40 %) would go")
    assert errors == f"held: {result['plan']['held']}\n"
    assert database.value("select count(*) from features.pipeline_runs") == 1
    accepted = plan(database, few, capsys, *options, "--max-removed-percent", "40")
    assert (accepted[0], accepted[1]["plan"]["held"]) == (0, None)


@twenty_users_gone
def test_check_says_so_too(
    mode: str,
    drop: Drop,
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a database that is named; one in the environment does not count."""
    run_drop(database, MANY.write(tmp_path / "many"), allow_empty=True)
    few = drop.write(tmp_path / "few")
    command = ["check", str(few), "--allow-empty", "--mode", mode]
    monkeypatch.setenv("DATABASE_URL", database.url())
    assert main(command) == 0
    capsys.readouterr()
    assert main([*command, "--database-url", database.url()]) == 1
    assert "would be held: 20 of 50 users (40 %) would go" in capsys.readouterr().out
    assert main([*command, "--json", "--database-url", database.url()]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["why"][:14]) == ("held", "20 of 50 users")
    assert main([*command, "--database-url", database.url(), "--max-removed-percent", "40"]) == 0
    assert database.value("select count(*) from features.pipeline_runs") == 1


def test_it_neither_waits_for_a_load_nor_holds_one_up(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes no lock that a load waits for."""
    source = FIRST.write(tmp_path / "first")
    run_drop(database, source)
    with holding_load_lock(database) as loading:
        loading.execute("update features.user_features set user_name = 'X'")
        status, result, _ = plan(database, source, capsys)
        assert (status, result["unchanged"]) == (0, 4)
        with connect(database.url()) as other:
            query = "select count(*) from pg_locks where not granted"
            assert other.execute(query).fetchall() == [(0,)]
