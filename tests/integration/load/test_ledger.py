"""The ledger records every run and which load the features come from; old runs expire."""

import os
import time
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cases import first_or_all
from experiment_features.config import Settings
from experiment_features.definitions import DEFINITION_VERSION
from experiment_features.errors import (
    ConfigurationError,
    DatabaseRefused,
    DropRejected,
)
from experiment_features.load.database import connect
from experiment_features.load.last_load import find_last
from experiment_features.load.ledger import find_last_success
from experiment_features.load.lifecycle import record_end, recorded
from experiment_features.load.loads import find_load
from experiment_features.run import COMPUTATION
from integration.running import (
    compute_drop,
    extract_drop,
    features_of,
    make_drop,
    make_pipeline,
    record_as_left,
    run_drop,
    run_of,
)
from integration.servers import Database
from integration.test_command_line import run_command

FIRST = make_drop({1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "0.5"), (2, "3", "")])
SECOND = make_drop({1: "Ann", 3: "Cyd"}, [(1, "1;2", "10")])
FAULTY = make_drop({1: "Ann", 2: "", 3: ""}, [(1, "1", ""), (2, "1", "")])

CHANGES = ("inserted", "updated", "deleted", "unchanged")


def last_load(database: Database) -> str:
    """Returns the run that the features come from, according to the ledger."""
    run_id: str = database.value(
        "select run_id from features.pipeline_runs where status = 'loaded' "
        "order by finished_at desc limit 1"
    )
    return run_id


def age_run(database: Database, run_id: str, days: int) -> None:
    """Moves a run into the past."""
    database.query(
        "update features.pipeline_runs set started_at = started_at - make_interval(days => %s), "
        "finished_at = finished_at - make_interval(days => %s) where run_id = %s",
        days,
        days,
        run_id,
    )


def test_a_load_is_recorded_completely(database: Database, tmp_path: Path) -> None:
    """Every column of the ledger matches the drop, the options and the clock."""
    source = FIRST.write(tmp_path / "drop")
    started_at = datetime.now(UTC) - timedelta(seconds=5)
    options = {"started_at": started_at, "today": date(2024, 2, 29), "trigger": "api"}
    options |= {"triggered_by": "ann"}
    result = run_drop(database, source, run_id="one", **options)
    row = run_of(database, "one")
    files = row.pop("source_files")
    assert [(f["table"], f["name"], f["rows"]) for f in files] == [
        ("users", "users.csv", 2),
        ("compounds", "compounds.csv", 3),
        ("user_experiments", "user_experiments.csv", 3),
    ]
    assert [f["bytes"] for f in files] == [(source / f["name"]).stat().st_size for f in files]
    assert all(len(f["sha256"]) == 64 for f in files)
    assert started_at < row.pop("loaded_at") < row["finished_at"]
    assert started_at < row.pop("finished_at") < datetime.now(UTC)
    (layer,) = row.pop("parts")
    assert (layer["run_id"], layer["source"]) == ("one", str(source))
    assert [{name: part[name] for name in files[0]} for part in layer["parts"]] == files
    assert None not in {row.pop(name) for name in (*COMPUTATION, "state_hash")}
    assert row == {
        "run_id": "one",
        "trigger": "api",
        "triggered_by": "ann",
        "mode": "snapshot",
        "base_run_id": None,
        "given_source": "",
        "source": str(source),
        "parameters": {
            "mode": "auto",
            "max_rejected_percent": 10,
            "max_removed_percent": 20,
            "allow_empty": False,
            "force": False,
        },
        "task": None,
        "error": None,
        "error_file": None,
        "error_line": None,
        "error_column": None,
        "message": None,
        "notices": [],
        "average_run_time": 5.25,
        "judged": None,
        "issues_by_rule": {},
        "totals": {
            "experiments": 3,
            "timed_experiments": 2,
            "run_time_parts": 10_500_000_000,
        },
        "engine": "pandas",
        "definition_version": DEFINITION_VERSION,
        "status": "loaded",
        "users": 2,
        "experiments": 3,
        "compounds": 3,
        "average_experiments_per_user": 1.5,
        "rejected_rows": 0,
        "warnings": 0,
        "healed": 0,
        "inserted": 2,
        "updated": 0,
        "deleted": 0,
        "unchanged": 0,
        "started_at": started_at,
        "today": date(2024, 2, 29),
    }
    assert set(result.pop("seconds")) == {"extract", "validate", "transform", "load"}
    assert result == {name: row[name] for name in result}


class TestUnchanged:
    """A drop that is already loaded."""

    def test_ends_early(self, database: Database, tmp_path: Path) -> None:
        """Nothing is computed; the result has the figures of the last load."""
        source = FIRST.write(tmp_path / "drop")
        first = run_drop(database, source)
        result = run_drop(database, source, run_id="two")
        assert result | {"run_id": first["run_id"], "seconds": 0} == first | {
            "status": "unchanged",
            "engine": None,
            "inserted": 0,
            "unchanged": 2,
            "seconds": 0,
        }
        row = run_of(database, "two")
        assert (row["status"], row["users"], row["unchanged"]) == ("unchanged", 2, 2)
        assert last_load(database) == first["run_id"]

    def test_is_loaded_with_force_alone(self, database: Database, tmp_path: Path) -> None:
        """Thresholds and engine do not count: what was accepted once is not judged anew."""
        source = FAULTY.write(tmp_path / "drop")
        run_drop(database, source, max_rejected_percent=100, engine="duckdb")
        assert run_drop(database, source)["status"] == "unchanged"
        assert run_drop(database, source, allow_empty=True)["status"] == "unchanged"
        result = run_drop(database, source, max_rejected_percent=100, force=True)
        assert (result["status"], result["unchanged"]) == ("loaded", 1)

    def test_is_loaded_when_a_signup_is_no_longer_in_the_future(
        self, database: Database, tmp_path: Path
    ) -> None:
        """The day's warnings go away with the day, although the files are the same."""
        source = FIRST.write(tmp_path / "drop")  # all signed up on 2024-01-01
        first = run_drop(database, source, today=date(2023, 12, 30))
        assert first["warnings"] == 2
        for today, status, warnings in (
            (date(2023, 12, 31), "unchanged", 2),
            (date(2024, 1, 1), "loaded", 0),
            (date(2024, 1, 2), "unchanged", 0),
        ):
            result = run_drop(database, source, today=today)
            assert (result["status"], result["warnings"]) == (status, warnings)

    @pytest.mark.parametrize(
        "statement",
        [
            "delete from features.compound_features where compound_id = 1",
            "update features.user_features set user_name = 'Eve' where user_id = 1",
        ],
    )
    def test_is_loaded_when_features_were_changed_by_hand(
        self, database: Database, tmp_path: Path, statement: str
    ) -> None:
        """To say that nothing changed would be wrong."""
        source = FIRST.write(tmp_path / "drop")
        run_drop(database, source)
        queries = (
            "select user_name from features.user_features order by user_id",
            "select compound_id from features.compound_features order by 1",
        )
        before = [database.query(query) for query in queries]
        database.query(statement)
        assert run_drop(database, source)["status"] == "loaded"
        assert [database.query(query) for query in queries] == before
        assert run_drop(database, source)["status"] == "unchanged"

    def test_is_loaded_when_another_version_computed_it(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Its rules and features were others, so every row is computed and compared."""
        source = FIRST.write(tmp_path / "drop")
        run_id = run_drop(database, source)["run_id"]
        database.query("update features.user_features set user_name = 'of old' where user_id = 1")
        database.query("update features.pipeline_runs set definition_version = 1")
        record_as_left(database, run_id)
        result = run_drop(database, source)
        assert (result["status"], result["updated"]) == ("loaded", 1)
        assert [row["user_name"] for row in features_of(database)] == ["Ann", "Bob"]
        assert run_drop(database, source)["status"] == "unchanged"

    def test_run_cleared_from_the_start_stays_the_last_load(
        self, database: Database, tmp_path: Path
    ) -> None:
        """The entry of the last load stays when its run is cleared; the repeat has its own."""
        source = FIRST.write(tmp_path / "drop")
        first = run_drop(database, source, run_id="one")
        before = run_of(database, "one")
        again = run_drop(database, source, run_id="one")
        assert (again["run_id"], again["status"]) == ("one/2", "unchanged")
        assert again["users"] == first["users"]
        assert run_of(database, "one") == before
        assert last_load(database) == "one"

    def test_is_refused_when_another_drop_came_between(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A run must not report `unchanged` once another drop has been loaded."""
        source = FIRST.write(tmp_path / "first")
        run_drop(database, source)
        late = make_pipeline(database, tmp_path, run_id="late")
        assert extract_drop(late, source).is_unchanged
        run_drop(database, SECOND.write(tmp_path / "second"), run_id="other")
        with pytest.raises(DatabaseRefused, match="run other has loaded another"):
            late.load()
        assert last_load(database) == "other"

    def test_can_be_run_again(self, database: Database, tmp_path: Path) -> None:
        """Clearing the load of an unchanged run gives the same result."""
        source = FIRST.write(tmp_path / "drop")
        run_drop(database, source)
        pipeline = compute_drop(make_pipeline(database, tmp_path), source)
        result = asdict(pipeline.load())
        assert asdict(pipeline.load()) | {"seconds": 0} == result | {"seconds": 0}
        assert database.value("select count(*) from features.pipeline_runs") == 2


class TestRejected:
    """A drop with too many faulty rows."""

    def test_is_recorded_with_its_issues(self, database: Database, tmp_path: Path) -> None:
        """A rejected run keeps the features and records its issues."""
        run_drop(database, FIRST.write(tmp_path / "first"))
        before = features_of(database)
        with pytest.raises(DropRejected, match=r"max_rejected_percent \(10\).*users 66.7%"):
            run_drop(database, FAULTY.write(tmp_path / "faulty"), run_id="bad")
        assert features_of(database) == before
        row = run_of(database, "bad")
        assert (row["status"], row["task"], row["error"]) == (
            "rejected",
            "validate",
            "DropRejected",
        )
        assert "users 66.7%" in row["message"]
        assert [row[name] for name in (*CHANGES, "users", "rejected_rows")] == [0, 0, 0, 0, None, 3]
        issues = database.query(
            "select table_name, line_number, rule from features.data_issues "
            "where run_id = 'bad' order by 1, 2"
        )
        assert [tuple(issue.values()) for issue in issues] == [
            ("user_experiments", 3, "user_id_unknown"),
            ("users", 3, "name_missing"),
            ("users", 4, "name_missing"),
        ]

    def test_is_replaced_by_its_next_try(self, database: Database, tmp_path: Path) -> None:
        """Once the drop is fixed, a retry replaces the entry of the rejected run."""
        source = FAULTY.write(tmp_path / "drop")
        with pytest.raises(DropRejected):
            run_drop(database, source, run_id="bad")
        FIRST.write(source)
        run_drop(database, source, run_id="bad")
        assert run_of(database, "bad")["status"] == "loaded"
        assert database.value("select count(*) from features.data_issues") == 0

    def test_never_replaces_the_last_load(self, database: Database, tmp_path: Path) -> None:
        """If the last load is cleared and now rejected, it gets a second entry."""
        source = FIRST.write(tmp_path / "drop")
        run_drop(database, source, run_id="mine")
        before = run_of(database, "mine")
        FAULTY.write(source)
        for _ in range(2):
            with pytest.raises(DropRejected):
                run_drop(database, source, run_id="mine")
        assert run_of(database, "mine") == before
        assert run_of(database, "mine/2")["rejected_rows"] == 3
        assert last_load(database) == "mine"


def test_the_last_load_is_the_one_that_ended_last(database: Database, tmp_path: Path) -> None:
    """A run that began before another one may load after it."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    second = SECOND.write(tmp_path / "second")
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    run_drop(database, second, run_id="slow", started_at=an_hour_ago)
    assert make_pipeline(database, tmp_path).known_drops.last_source() == str(second)
    assert run_drop(database, second)["status"] == "unchanged"


def test_a_clock_that_goes_back_does_no_harm(database: Database, tmp_path: Path) -> None:
    """Even then, loads stay in their order and no period ends before it begins."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    database.query("update features.user_features set updated_at = updated_at + interval '1 hour'")
    database.query("update features.pipeline_runs set finished_at = now() + interval '1 hour'")
    run_drop(database, SECOND.write(tmp_path / "second"), run_id="late")
    assert last_load(database) == "late"
    run_drop(database, FIRST.write(tmp_path / "first"), run_id="later")
    assert last_load(database) == "later"
    assert database.value("select count(*) from features.user_features_past") == 2
    report = database.query(
        "select distinct average_experiments_per_user from features.user_feature_report"
    )
    assert report == [{"average_experiments_per_user": 1.5}]


def test_a_clock_that_was_ahead_does_not_hide_which_load_was_in_force(
    database: Database, tmp_path: Path
) -> None:
    """A run that did not load names the load that was the last when it ended, or is now."""
    run_drop(database, FIRST.write(tmp_path / "first"), run_id="ahead")
    database.query(
        "update features.pipeline_runs set finished_at = now() + interval '1 hour', "
        "started_at = now() + interval '1 hour'"
    )
    rejected = make_pipeline(database, tmp_path, run_id="rejected")
    with pytest.raises(DropRejected):
        compute_drop(rejected, FAULTY.write(tmp_path / "faulty"))
    for run_id in ("refused", "running"):
        pipeline = make_pipeline(database, tmp_path, run_id=run_id)
        assert pipeline.connect
        with recorded(pipeline.connect, pipeline.run, "extract"):
            pass
    refused = make_pipeline(database, tmp_path, run_id="refused")
    assert refused.connect
    record_end(refused.connect, refused.run, "extract", ValueError(), only_running=True)

    def load_named_for(run_id: str) -> str:
        with connect(database.url()) as connection, pytest.raises(ConfigurationError) as caught:
            find_load(connection, run_id)
        return str(caught.value).partition(" came from run ")[2].partition(":")[0]

    runs = ("rejected", "refused", "running")
    assert [load_named_for(run_id) for run_id in runs] == ["ahead"] * 3
    run_drop(database, SECOND.write(tmp_path / "second"), run_id="later")
    assert [load_named_for(run_id) for run_id in runs] == ["ahead", "ahead", "later"]


def test_a_clock_that_was_set_back_does_not_make_a_run_find_a_later_load(
    database: Database, tmp_path: Path
) -> None:
    """An unchanged run stands for the load that it found, of which a delta may give it as base."""
    for run_id in ("first", "unchanged"):
        run_drop(database, FIRST.write(tmp_path / "first"), run_id=run_id)
    database.query(
        "update features.pipeline_runs set finished_at = finished_at + interval '1 hour' "
        "where run_id = 'unchanged'"
    )
    run_drop(database, SECOND.write(tmp_path / "second"), run_id="later")
    with connect(database.url()) as connection:
        last = find_last(connection)
    assert last
    assert last.load.names == ["later"]


@pytest.mark.parametrize(
    ("relation", "column"),
    first_or_all(
        ("user_features_past", "valid_to"),
        ("user_features", "updated_at"),
        ("compound_features", "updated_at"),
    ),
)
def test_times_in_the_future_block_no_load(
    database: Database, tmp_path: Path, relation: str, column: str
) -> None:
    """They were written by hand, or restored from another server: later periods follow them."""
    for drop in (FIRST, SECOND):
        run_drop(database, drop.write(tmp_path / "drop"))
    database.query(f"update features.{relation} set {column} = now() + interval '1 hour'")  # noqa: S608
    for drop in (FIRST, SECOND):
        assert run_drop(database, drop.write(tmp_path / "drop"))["status"] == "loaded"


class TestHousekeeping:
    """What later runs remove after a while."""

    def test_old_runs_are_removed_with_their_issues(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Whatever their status, a load so long after it was replaced; the history is kept."""
        with pytest.raises(DropRejected):
            run_drop(database, FAULTY.write(tmp_path / "faulty"), run_id="rejected")
        run_drop(database, FIRST.write(tmp_path / "first"), run_id="loaded")
        run_drop(database, tmp_path / "first", run_id="unchanged")
        run_drop(database, SECOND.write(tmp_path / "second"), run_id="young")
        for run_id in ("rejected", "loaded", "unchanged"):
            age_run(database, run_id, 92)
        age_run(database, "young", 91)
        run_drop(database, FIRST.write(tmp_path / "first"), run_id="last")
        kept = database.query("select run_id from features.pipeline_runs order by 1")
        assert [row["run_id"] for row in kept] == ["last", "young"]
        assert database.value("select count(*) from features.data_issues") == 0
        assert len(features_of(database, "user_features_past")) == 2

    def test_a_run_is_kept_for_as_long_as_its_parts(
        self, database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With its issues, and if others are forgotten sooner: else it could not be traced."""
        faulty = make_drop({1: "Ann"}, [(1, "1", "10"), (1, "9", "10")]).write(tmp_path / "first")
        run_drop(database, faulty, run_id="first", max_rejected_percent=50)
        run_drop(database, SECOND.write(tmp_path / "second"), run_id="second")
        for run_id in ("first", "second"):
            age_run(database, run_id, 9)
        options = {"keep_days": 1, "force": True}
        run_drop(database, tmp_path / "second", run_id="third", keep_parts_days=10, **options)
        command = ["trace", "1", "--run", "first", "--database-url", database.url()]
        _, output, _ = run_command(capsys, *command)
        assert "1 row counted" in output
        assert "rejected: experiment_compound_ids_unknown" in output
        run_drop(database, tmp_path / "second", run_id="last", keep_parts_days=8, **options)
        assert "the ledger has no run first" in run_command(capsys, *command)[2]

    def test_the_last_load_is_kept_however_old(self, database: Database, tmp_path: Path) -> None:
        """A drop that never changes stays known forever."""
        source = FIRST.write(tmp_path / "drop")
        run_drop(database, source, run_id="loaded")
        run_drop(database, source, run_id="unchanged")
        for run_id in ("loaded", "unchanged"):
            age_run(database, run_id, 1000)
        assert run_drop(database, source, run_id="new", keep_days=1)["status"] == "unchanged"
        kept = database.query("select run_id from features.pipeline_runs order by 1")
        assert [row["run_id"] for row in kept] == ["loaded", "new"]

    def test_old_workspaces_are_removed(self, database: Database, tmp_path: Path) -> None:
        """Workspaces not written to for long are removed; anything else is left alone."""
        source = FIRST.write(tmp_path / "drop")
        folder = tmp_path / "workspaces"
        for run_id in ("old", "going_on", "young"):
            run_drop(database, source, run_id=run_id, force=True)
        (folder / "not_ours").mkdir()
        (folder / "not_ours" / "thesis.txt").write_text("all of it")
        for name in ("old", "going_on", "not_ours"):
            for path in [folder / name, *(folder / name).rglob("*")]:
                os.utime(path, (time.time(), time.time() - 8 * 86400))
        os.utime(folder / "going_on" / "rejected")
        run_drop(database, source, run_id="last")
        assert {path.name for path in folder.iterdir()} == {"going_on", "young", "not_ours", "last"}


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "999999", "²"])
@pytest.mark.parametrize("name", ["KEEP_DAYS", "KEEP_WORKSPACE_DAYS"])
def test_invalid_days_are_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and the values it may have."""
    monkeypatch.setenv(f"EXPERIMENT_FEATURES_{name}", value)
    with pytest.raises(ConfigurationError, match=f"EXPERIMENT_FEATURES_{name} is '{value}': expec"):
        Settings.from_environment()


def test_days_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both settings have defaults, which also replace an empty value."""
    for name in ("KEEP_DAYS", "KEEP_WORKSPACE_DAYS"):
        monkeypatch.setenv(f"EXPERIMENT_FEATURES_{name}", "")
    settings: Any = Settings.from_environment()
    assert (settings.keep_days, settings.keep_workspace_days) == (90, 7)
    monkeypatch.setenv("EXPERIMENT_FEATURES_KEEP_DAYS", "365")
    assert Settings.from_environment().keep_days == 365


def test_a_drop_that_others_followed_is_recognised(database: Database, tmp_path: Path) -> None:
    """A drop is recognised by its files at its latest load, unless it is the last one loaded."""
    first, second = FIRST.write(tmp_path / "first"), SECOND.write(tmp_path / "second")
    assert make_pipeline(database, tmp_path).known_drops.last_source() is None
    loaded = run_drop(database, first)
    assert make_pipeline(database, tmp_path).known_drops.find_earlier_load(first) is None
    run_drop(database, second)

    pipeline = make_pipeline(database, tmp_path)
    assert pipeline.known_drops.last_source() == str(second)
    assert pipeline.known_drops.find_earlier_load(first) == loaded["run_id"]
    assert pipeline.known_drops.find_earlier_load(second) is None
    assert pipeline.known_drops.find_earlier_load(tmp_path) is None
    itself = make_pipeline(database, tmp_path, run_id=loaded["run_id"])
    assert itself.known_drops.find_earlier_load(first) is None
    (first / "users.csv").write_text((second / "users.csv").read_text())
    assert pipeline.known_drops.find_earlier_load(first) is None
    (first / "_READY").write_text("{")
    assert (
        pipeline.known_drops.find_earlier_load(first) is None
    )  # extract says why, once its source is known


def test_the_last_success_is_a_load_or_an_unchanged_drop(
    database: Database, tmp_path: Path
) -> None:
    """A rejected run is no success, because it does not renew the features."""

    def last_success() -> datetime | None:
        with connect(database.url()) as connection:
            return find_last_success(connection)

    assert last_success() is None
    source = FIRST.write(tmp_path / "drop")
    for _ in range(2):
        result = run_drop(database, source)
        assert last_success() == run_of(database, result["run_id"])["finished_at"]
    with pytest.raises(DropRejected):
        run_drop(database, FAULTY.write(tmp_path / "faulty"))
    assert last_success() == run_of(database, result["run_id"])["finished_at"]
