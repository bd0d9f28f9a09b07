"""Every run that began is in the ledger, with how it ended."""

import json
import logging
import platform
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from psycopg import sql

from cases import first_or_all
from experiment_features.errors import (
    ConfigurationError,
    DatabaseRefused,
    DropRefused,
    DropRejected,
    LoadHeld,
    NothingToDo,
    StorageUnavailable,
)
from experiment_features.load.issues import KEPT_ISSUES
from experiment_features.load.lifecycle import record_end, recorded
from experiment_features.pipeline import Pipeline
from experiment_features.run import COMPUTATION
from experiment_features.version import find_commit, find_lock
from experiment_features.visible_text import escape
from integration.running import (
    compute_drop,
    features_of,
    make_drop,
    make_pipeline,
    run_drop,
    run_of,
)
from integration.servers import Database

DROP = make_drop({1: "Ann"}, [(1, "1", "10")])


def run_recorded(pipeline: Pipeline, source: Path) -> None:
    """Runs all stages as the DAG and the command line do."""
    stages = {
        "extract": lambda: pipeline.extract(source),
        "validate": pipeline.validate,
        "transform": pipeline.transform,
        "load": pipeline.load,
    }
    for task, stage in stages.items():
        with recorded(pipeline.connect, pipeline.run, task):
            stage()


def fail(pipeline: Pipeline, task: str, error: BaseException, **options: Any) -> None:
    """Lets a task of a run fail."""
    with (
        pytest.raises(type(error)),
        recorded(pipeline.connect, pipeline.run, task, **options),
    ):
        raise error


def test_an_interrupt_after_the_load_enters_no_other_run(
    database: Database, tmp_path: Path
) -> None:
    """The run has loaded; one that was interrupted before has failed."""
    source = DROP.write(tmp_path / "drop")
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    run_recorded(pipeline, source)
    fail(pipeline, "load", KeyboardInterrupt())
    assert database.query("select run_id, status from features.pipeline_runs") == [
        {"run_id": "mine", "status": "loaded"}
    ]
    other = make_pipeline(database, tmp_path, run_id="other")
    fail(other, "extract", KeyboardInterrupt())
    assert run_of(database, "other")["status"] == "failed"


def test_a_run_is_running_from_its_first_task_on(database: Database, tmp_path: Path) -> None:
    """Its entry says who asked for what; the source is added as soon as it is known."""
    source = DROP.write(tmp_path / "drop")
    options = {"triggered_by": "ann", "given_source": "drop", "run_id": "mine"}
    pipeline = make_pipeline(database, tmp_path, **options)
    with recorded(pipeline.connect, pipeline.run, "extract"):
        row = run_of(database, "mine")
        assert (row["status"], row["task"], row["finished_at"]) == ("running", "extract", None)
        assert (row["triggered_by"], row["given_source"], row["source"]) == ("ann", "drop", None)
        pipeline.extract(source)
        assert run_of(database, "mine")["source"] == str(source)
    for task in ("validate", "transform", "load"):
        with recorded(pipeline.connect, pipeline.run, task):
            getattr(pipeline, task)()
    assert run_of(database, "mine")["status"] == "loaded"


@pytest.mark.parametrize("task", first_or_all("extract", "validate", "transform", "load"))
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DropRefused("users.csv, line 3: no", file="users.csv", line=3, column="name"), "refused"),
        (ConfigurationError("EXPERIMENT_FEATURES_X is 'x'"), "refused"),
        (StorageUnavailable("away"), "failed"),
        (NothingToDo("gone"), "skipped"),
        (ValueError("a bug with \0 in its message"), "failed"),
        (OSError("no \udc80 file"), "failed"),
        (KeyboardInterrupt(), "failed"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_ends_it(
    task: str, error: BaseException, status: str, database: Database, tmp_path: Path
) -> None:
    """The entry has the task, the kind of error, its place and its message."""
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    with recorded(pipeline.connect, pipeline.run, "extract"):
        pass
    fail(pipeline, task, error)
    row = run_of(database, "mine")
    assert (row["status"], row["task"], row["error"]) == (status, task, type(error).__name__)
    assert row["finished_at"] >= row["started_at"]
    place = tuple(row[f"error_{name}"] for name in ("file", "line", "column"))
    is_placed = isinstance(error, DropRefused)
    assert place == (("users.csv", 3, "name") if is_placed else (None, None, None))
    assert row["message"] == (escape(str(error)) or "KeyboardInterrupt")


def test_an_error_that_is_retried_does_not_end_it(database: Database, tmp_path: Path) -> None:
    """Until the retries are used up, the run is still in progress; then it has failed."""
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    error = StorageUnavailable("away")
    for _ in range(2):
        fail(pipeline, "extract", error, retried=(StorageUnavailable,))
        assert run_of(database, "mine")["status"] == "running"
    fail(pipeline, "extract", error)
    assert run_of(database, "mine")["status"] == "failed"


def test_a_repeat_from_a_later_task_is_entered(database: Database, tmp_path: Path) -> None:
    """Its error takes the place of an earlier one; a load stays, and the repeat has an entry."""
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    fail(pipeline, "extract", DropRefused("first"))
    fail(pipeline, "load", ValueError("second"))
    assert (run_of(database, "mine")["task"], run_of(database, "mine")["message"]) == (
        "load",
        "second",
    )
    run_recorded(pipeline, DROP.write(tmp_path / "drop"))
    fail(pipeline, "validate", ValueError("third"))
    assert run_of(database, "mine")["status"] == "loaded"
    assert (run_of(database, "mine/2")["status"], run_of(database, "mine/2")["message"]) == (
        "failed",
        "third",
    )


def test_airflows_callback_adds_nothing_to_an_ending(database: Database, tmp_path: Path) -> None:
    """It ends runs that are in progress alone: of others, more is known."""
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    assert pipeline.connect
    died = ValueError("died")
    record_end(pipeline.connect, pipeline.run, "load", died, only_running=True)
    assert database.value("select count(*) from features.pipeline_runs") == 0
    fail(pipeline, "extract", DropRefused("first"))
    record_end(pipeline.connect, pipeline.run, "extract", died, only_running=True)
    assert run_of(database, "mine")["message"] == "first"


def test_a_run_that_got_lost_is_ended_by_a_later_one(database: Database, tmp_path: Path) -> None:
    """Nothing runs for longer than a day."""
    source = DROP.write(tmp_path / "drop")
    for run_id, hours in (("lost", 25), ("going_on", 23)):
        pipeline = make_pipeline(database, tmp_path, run_id=run_id)
        begun = pipeline.run.started_at - timedelta(hours=hours)
        run = replace(pipeline.run, started_at=begun)
        with recorded(pipeline.connect, run, "extract"):
            pass
    run_recorded(make_pipeline(database, tmp_path, run_id="later"), source)
    rows = database.query("select run_id, status, error from features.pipeline_runs order by 1")
    assert [tuple(row.values()) for row in rows] == [
        ("going_on", "running", None),
        ("later", "loaded", None),
        ("lost", "failed", "Lost"),
    ]


def test_a_lost_run_that_begins_in_the_future_is_ended(database: Database, tmp_path: Path) -> None:
    """The clock was ahead when it began; one that may be going on is left alone."""
    for run_id, hours in (("lost", 25), ("going_on", 1)):
        pipeline = make_pipeline(database, tmp_path, run_id=run_id)
        with recorded(pipeline.connect, pipeline.run, "extract"):
            pass
        database.query(
            "update features.pipeline_runs set started_at = now() + make_interval(hours => %s) "
            "where run_id = %s",
            hours,
            run_id,
        )
    pipeline = make_pipeline(database, tmp_path, run_id="later")
    with recorded(pipeline.connect, pipeline.run, "extract"):
        pass
    assert (run_of(database, "lost")["status"], run_of(database, "lost")["error"]) == (
        "failed",
        "Lost",
    )
    assert run_of(database, "going_on")["status"] == "running"


DISCARD = "create function discard() returns trigger language plpgsql as 'begin return null; end'"


@pytest.mark.parametrize(
    "by",
    [
        DISCARD + "; create trigger discards before update on features.pipeline_runs for each row "
        "execute function discard()",
        "create rule discards as on update to features.pipeline_runs do instead nothing",
    ],
    ids=["trigger", "rule"],
)
def test_an_ending_that_is_not_written_is_told(
    by: str, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own is in the log, as is that of a lost run; a run cannot go on without its source."""
    for run_id in ("lost", "mine"):
        pipeline = make_pipeline(database, tmp_path, run_id=run_id)
        with recorded(pipeline.connect, pipeline.run, "extract"):
            pass
    database.query(
        "update features.pipeline_runs set started_at = '2000-01-01' where run_id = 'lost'"
    )
    database.query(by)
    with caplog.at_level(logging.WARNING):
        fail(pipeline, "validate", DropRefused("the drop"))
    assert "the end of run mine could not be recorded in the ledger: " in caplog.text
    assert "pipeline_runs" in caplog.text
    caplog.clear()
    with pytest.raises(DatabaseRefused, match="pipeline_runs"):
        run_recorded(make_pipeline(database, tmp_path), DROP.write(tmp_path / "drop"))
    assert "pipeline_runs" in caplog.text.splitlines()[0]
    assert run_of(database, "lost")["status"] == "running"


def test_an_ending_that_is_changed_is_told(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A trigger that keeps the run running, for example."""
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    with recorded(pipeline.connect, pipeline.run, "extract"):
        pass
    database.query(
        "create function change() returns trigger language plpgsql as "
        "$$begin new.error := 'none'; return new; end$$; "
        "create trigger changes before update on features.pipeline_runs "
        "for each row execute function change()"
    )
    with caplog.at_level(logging.WARNING):
        fail(pipeline, "validate", DropRefused("the drop"))
    assert "could not be recorded in the ledger: features.pipeline_runs: 1 rows are not as" in (
        caplog.text
    )


def test_old_runs_that_cannot_be_forgotten_are_told(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The load is good; the log says what stays."""
    pipeline = make_pipeline(database, tmp_path, run_id="old")
    fail(pipeline, "extract", DropRefused("the drop"))
    database.query("update features.pipeline_runs set started_at = '2000-01-01'")
    database.query("update features.pipeline_runs set finished_at = '2000-01-02'")
    database.query(DISCARD)
    database.query(
        "create trigger discards before delete on features.pipeline_runs for each row "
        "when (old.run_id = 'old') execute function discard()"
    )
    with caplog.at_level(logging.WARNING):
        assert run_drop(database, DROP.write(tmp_path / "drop"))["status"] == "loaded"
    assert "features.pipeline_runs: delete_old_runs should have written 1 rows" in caplog.text


def test_an_entry_depends_on_no_default(database: Database, tmp_path: Path) -> None:
    """Whatever defaults somebody gave the columns, entries and issues are the same."""
    faulty = make_drop({1: "Ann", 2: ""}, [(1, "1", "10")]).write(tmp_path / "drop")

    def found() -> list[dict[str, Any]]:
        with pytest.raises(DropRejected):
            run_drop(database, faulty, run_id="rejected")
        run_drop(database, faulty, run_id="loaded", max_rejected_percent=60)
        begun = make_pipeline(database, tmp_path, run_id="running")
        with recorded(begun.connect, begun.run, "extract"):
            pass
        rows = [*features_of(database, "pipeline_runs"), *features_of(database, "data_issues")]
        for table in ("pipeline_runs", "data_issues", "user_features", "compound_features"):
            database.query(sql.SQL("delete from features.{}").format(sql.Identifier(table)))
        of_time = ("started_at", "finished_at", "loaded_at", "state_hash")
        return [{name: row[name] for name in row if name not in of_time} for row in rows]

    before = found()
    columns = database.query(
        "select attrelid::regclass::text as table, attname as name, case typname "
        """when 'jsonb' then '["x"]' when '_text' then '{x}' """
        "when 'int8' then '7' when 'numeric' then '7' "
        "else '2000-01-01' end as value "
        "from pg_attribute inner join pg_type on atttypid = pg_type.oid where attnum > 0 "
        "and attrelid = any('{features.pipeline_runs, features.data_issues}'::regclass[]) "
        "and not attisdropped and typname <> 'float8' and typname <> 'int4'"
    )
    for column in columns:
        database.query(
            sql.SQL("alter table {} alter {} set default {}").format(
                sql.Identifier(*column["table"].split(".")),
                sql.Identifier(column["name"]),
                sql.Literal(column["value"]),
            )
        )
    assert found() == before


def test_a_repeat_of_a_load_has_an_entry_of_its_own(database: Database, tmp_path: Path) -> None:
    """From running on; features and issues carry its id, and the load's entry stays."""
    options = {"run_id": "mine", "max_rejected_percent": 50}
    source = make_drop({1: "Ann", 2: ""}, [(1, "1", "10")]).write(tmp_path / "drop")
    run_recorded(make_pipeline(database, tmp_path, **options), source)
    before = run_of(database, "mine")
    database.query("update features.user_features set user_name = 'Eve'")
    pipeline = make_pipeline(database, tmp_path, force=True, **options)
    with recorded(pipeline.connect, pipeline.run, "extract"):
        assert run_of(database, "mine/2")["status"] == "running"
    run_recorded(pipeline, source)
    assert run_of(database, "mine") == before
    assert run_of(database, "mine/2")["status"] == "loaded"
    assert [user["run_id"] for user in features_of(database)] == ["mine/2"]
    issues = "select run_id, found_by, closed_by from features.data_issues order by 1"
    assert [tuple(issue.values()) for issue in database.query(issues)] == [
        ("mine", "mine", "mine/2"),
        ("mine/2", "mine/2", None),
    ]
    fail(make_pipeline(database, tmp_path, run_id="mine"), "extract", DropRefused("no"))
    assert run_of(database, "mine/3")["status"] == "refused"
    run_recorded(make_pipeline(database, tmp_path, **options), source)
    assert run_of(database, "mine/3")["status"] == "unchanged"


def test_a_ledger_that_is_away_hides_no_error(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error that ended the run is raised; the log has what the ledger lacks."""
    pipeline = make_pipeline(database, tmp_path, run_id="mine")
    with recorded(pipeline.connect, pipeline.run, "extract"):
        pass
    database.query("alter table features.pipeline_runs rename to gone", user="keeper")
    with caplog.at_level(logging.WARNING):
        fail(pipeline, "validate", DropRefused("the drop"))
    assert "the end of run mine could not be recorded in the ledger: cannot enter" in caplog.text


def test_of_a_run_that_did_not_load_some_issues_are_kept(
    database: Database, tmp_path: Path
) -> None:
    """A drop that is refused every night must not fill the database; the figures count all."""
    users = {-i: "" for i in range(1, KEPT_ISSUES + 500)}
    source = make_drop({**users, 1: "Ann"}, [(1, "1", "")] * 3).write(tmp_path / "drop")
    with pytest.raises(DropRejected):
        run_drop(database, source, run_id="rejected")
    counts = "select rule, count(*) from features.data_issues where run_id = %s group by 1"
    assert {row["rule"]: row["count"] for row in database.query(counts, "rejected")} == {
        "user_id_invalid": KEPT_ISSUES,
        "name_missing": KEPT_ISSUES,
    }
    last = "select max(line_number) from features.data_issues"
    assert database.value(last) == KEPT_ISSUES + 1
    assert run_of(database, "rejected")["rejected_rows"] == len(users)
    run_drop(database, source, run_id="loaded", max_rejected_percent=100)
    assert {row["count"] for row in database.query(counts, "loaded")} == {len(users)}


@pytest.mark.parametrize("engine", ["pandas", "duckdb"])
def test_a_load_says_what_computed_it(engine: str, database: Database, tmp_path: Path) -> None:
    """It has its digests and every version; a run that finds it unchanged has those of the load."""
    source = make_drop({1: "Ann"}, [(1, "1", "10")], {1: "Water"}).write(tmp_path / "drop")
    loaded = run_of(database, run_drop(database, source, engine=engine)["run_id"])
    unchanged = run_of(database, run_drop(database, source)["run_id"])
    assert (loaded["status"], unchanged["status"]) == ("loaded", "unchanged")
    assert loaded["engine_version"] == metadata.version(engine)
    assert loaded["python_version"] == platform.python_version()
    assert (loaded["code_version"], loaded["lock_sha256"]) == (find_commit(), find_lock())
    assert loaded["issues_sha256"] == "0" * 64
    user = b"""user_features
average_compounds_per_experiment=3ff0000000000000
average_experiment_run_time=4024000000000000
most_common_compound_experiments=1
most_common_compound_id=1
most_common_compound_ids=[1]
most_common_compound_name=5:Water
total_experiments=1
user_id=1
user_name=3:Ann"""
    compound = b"""compound_features
compound_id=1
compound_name=5:Water
total_experiments=1
total_users=1"""
    total = sum(int.from_bytes(sha256(row).digest(), "big") for row in (user, compound))
    assert loaded["features_sha256"] == f"{total % 2**256:064x}"
    of_load = {name: loaded[name] for name in COMPUTATION}
    assert {name: unchanged[name] for name in COMPUTATION} == of_load


def test_a_run_that_does_not_load_has_no_digests(database: Database, tmp_path: Path) -> None:
    """Neither one that is rejected nor one that is held."""
    users = dict.fromkeys(range(1, 101), "Ann")
    run_drop(database, make_drop(users, [(2, "1", "10")]).write(tmp_path / "first"))
    with pytest.raises(LoadHeld):
        run_drop(database, DROP.write(tmp_path / "held"), run_id="held", max_removed_percent=0)
    with pytest.raises(DropRejected):
        run_drop(
            database,
            make_drop({1: ""}, [(1, "1", "10")]).write(tmp_path / "bad"),
            run_id="rejected",
        )
    for run_id in ("held", "rejected"):
        entry = run_of(database, run_id)
        assert entry["status"] == run_id
        assert {entry[name] for name in COMPUTATION} == {None}


def test_a_workspace_of_an_earlier_version_is_loaded(database: Database, tmp_path: Path) -> None:
    """Computed before an upgrade and loaded after it: what it does not say stays unknown."""
    source = make_drop({1: "Ann", 2: ""}, [(1, "1", "10")]).write(tmp_path / "drop")
    pipeline = make_pipeline(database, tmp_path, run_id="mine", max_rejected_percent=100)
    workspace = compute_drop(pipeline, source).workspace
    for stage in ("validate", "transform"):
        record = workspace.folder / f"{stage}.json"
        facts = json.loads(record.read_text())
        kept = {name: value for name, value in facts.items() if name not in COMPUTATION}
        record.write_text(json.dumps(kept))
    issues = pq.read_table(workspace.issues).drop_columns(["row_id"])
    pq.write_table(issues, workspace.issues)
    assert pipeline.load().status == "loaded"
    assert {run_of(database, "mine")[name] for name in COMPUTATION} == {None}
    assert {row["row_id"] for row in features_of(database, "data_issues")} == {None}
