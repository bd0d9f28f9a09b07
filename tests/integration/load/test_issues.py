"""Issues: stored once, closed by the load after which they no longer hold, forgotten later."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cases import first_or_all
from drops import Row
from experiment_features.errors import DropRejected, LoadHeld
from integration.running import (
    compute_drop,
    features_of,
    make_drop,
    make_pipeline,
    record_as_left,
    run_drop,
)
from integration.servers import VERSIONS, Database

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)

ANN_AND_NOBODY = make_drop({1: "Ann", 2: ""}, [(1, "1", "10")])
NOBODY_AND_BOB = make_drop({1: "", 2: "Bob"}, [(2, "1", "10")])
LENIENT = {"max_rejected_percent": 50}


def lives(database: Database) -> list[tuple[int, str, str | None]]:
    """The line of each issue, which run found it and which closed it, in the order of the runs."""
    issues = database.query(
        "select line_number, found_by, closed_by from features.data_issues "
        "order by found_by, line_number"
    )
    return [tuple(issue.values()) for issue in issues]


def lines_that_hold(database: Database) -> list[int]:
    """The lines of the issues that hold after the last load."""
    return [issue["line_number"] for issue in features_of(database, "latest_data_issues")]


@every_version
def test_a_load_closes_every_issue_and_finds_its_own(database: Database, tmp_path: Path) -> None:
    """Also an equal one; a load without issues leaves none open."""
    again = make_drop({1: "Ann", 2: "", 3: ""}).write(tmp_path / "again")
    run_drop(database, ANN_AND_NOBODY.write(tmp_path / "first"), run_id="1", **LENIENT)
    assert lives(database) == [(3, "1", None)]
    run_drop(database, again, run_id="2", max_rejected_percent=70, allow_empty=True)
    assert lives(database) == [(3, "1", "2"), (3, "2", None), (4, "2", None)]
    assert lines_that_hold(database) == [3, 4]
    run_drop(database, make_drop({1: "Ann"}, [(1, "1", "1")]).write(tmp_path / "good"), run_id="3")
    assert lives(database) == [(3, "1", "2"), (3, "2", "3"), (4, "2", "3")]
    assert lines_that_hold(database) == []


def test_a_run_that_did_not_load_closes_its_own_issues_alone(
    database: Database, tmp_path: Path
) -> None:
    """What holds is still what the last load found; a repeated attempt replaces its issues."""
    users = dict.fromkeys(range(1, 101), "Ann") | {101: ""}
    many = make_drop(users, [(1, "1", "10")]).write(tmp_path / "many")
    few = NOBODY_AND_BOB.write(tmp_path / "few")
    run_drop(database, many, run_id="1")
    for _ in range(2):
        with pytest.raises(DropRejected):
            run_drop(database, few, run_id="2 rejected")
        with pytest.raises(LoadHeld):
            run_drop(database, few, run_id="3 held", **LENIENT)
    assert run_drop(database, many, run_id="4 unchanged")["status"] == "unchanged"
    assert lives(database) == [
        (102, "1", None),
        (2, "2 rejected", "2 rejected"),
        (2, "3 held", "3 held"),
    ]
    assert lines_that_hold(database) == [102]


def test_the_repeat_of_a_load_writes_nothing(database: Database, tmp_path: Path) -> None:
    """Neither for the last load nor for an earlier one: no row version is new."""
    rows = "select xmin::text, found_by, closed_by from features.data_issues order by found_by"
    first = ANN_AND_NOBODY.write(tmp_path / "first")
    second = NOBODY_AND_BOB.write(tmp_path / "second")
    pipelines = [
        compute_drop(make_pipeline(database, tmp_path, **LENIENT), drop) for drop in (first, second)
    ]
    for pipeline in pipelines:
        assert pipeline.load().status == "loaded"
    before = database.query(rows)
    for pipeline in reversed(pipelines):
        assert pipeline.load().status == "loaded"
        assert database.query(rows) == before


def test_closed_issues_are_forgotten_though_their_run_is_kept(
    database: Database, tmp_path: Path
) -> None:
    """The last load stays for good, but not what it closed."""
    second = NOBODY_AND_BOB.write(tmp_path / "second")
    run_drop(database, ANN_AND_NOBODY.write(tmp_path / "first"), run_id="1", **LENIENT)
    run_drop(database, second, run_id="2", **LENIENT)
    for days, kept in ((89, [(3, "1", "2"), (2, "2", None)]), (2, [(2, "2", None)])):
        age_runs(database, days)
        assert run_drop(database, second, **LENIENT)["status"] == "unchanged"
        assert lives(database) == kept


@pytest.mark.parametrize("column", first_or_all("run_id", "found_by"))
def test_a_run_that_an_open_issue_names_is_kept(
    column: str, database: Database, tmp_path: Path
) -> None:
    """Its row came with that run, or was found faulty then, and still is."""
    second = NOBODY_AND_BOB.write(tmp_path / "second")
    run_drop(database, ANN_AND_NOBODY.write(tmp_path / "first"), run_id="1", **LENIENT)
    run_drop(database, second, run_id="2", **LENIENT)
    rename = {
        "run_id": "update features.data_issues set run_id = '1' where closed_by is null",
        "found_by": "update features.data_issues set found_by = '1' where closed_by is null",
    }
    database.query("delete from features.data_issues where closed_by is not null")
    database.query(rename[column])
    record_as_left(database, "2")
    age_runs(database, 91)
    run_drop(database, second, run_id="3", **LENIENT)
    kept = [run["run_id"] for run in features_of(database, "pipeline_runs")]
    assert kept == ["1", "2", "3"]


def test_a_signup_that_is_due_is_found_whichever_run_brought_it(
    database: Database, tmp_path: Path
) -> None:
    """Then a drop whose files are known is judged again."""
    today = datetime.now(UTC).date()
    tomorrow = today + timedelta(days=1)
    drop = make_drop({1: "Ann"}, [(1, "1", "10")])
    users, *others = drop.parts
    bob = Row(("2", "Bob", "b@example.org", tomorrow.isoformat()))
    users = replace(users, rows=(*users.rows, bob))
    source = replace(drop, parts=(users, *others)).write(tmp_path / "drop")
    run_drop(database, source, run_id="1", today=today)
    database.query("update features.data_issues set run_id = 'another'")
    record_as_left(database, "1")
    assert run_drop(database, source, today=today)["status"] == "unchanged"
    assert run_drop(database, source, today=tomorrow)["status"] == "loaded"


def age_runs(database: Database, days: int) -> None:
    """Moves all runs into the past."""
    database.query(
        "update features.pipeline_runs set started_at = started_at - make_interval(days => %s), "
        "finished_at = finished_at - make_interval(days => %s)",
        days,
        days,
    )
