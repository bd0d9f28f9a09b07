"""After a whole run, the database holds what the oracle computes from the drop."""

from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from cases import cases, first_or_all
from comparison import COMPOUND_COLUMNS, USER_COLUMNS, assert_features
from drops import ALL_DIALECTS, HAND_OUT, Drop, drops
from experiment_features.drop.local_path import LocalPath
from experiment_features.errors import DropRefused
from experiment_features.load.lifecycle import recorded
from integration.running import (
    compute_drop,
    extract_drop,
    features_of,
    make_drop,
    make_pipeline,
    run_drop,
    run_of,
)
from integration.servers import VERSIONS, Database, Server

ROWS = (*USER_COLUMNS, "user_id")


def assert_database_is(
    expected: oracle.Expected, database: Database, result: dict[str, Any]
) -> None:
    """Asserts that features, figures and issues of the last load are as expected."""
    assert_features(expected, features_of(database), features_of(database, "compound_features"))
    assert result["average_experiments_per_user"] == expected.average_experiments_per_user
    assert result["rejected_rows"] == len(expected.rejected)
    issues = database.query(
        "select table_name, file_name, line_number, rule, severity from features.data_issues "
        "where run_id = %s",
        result["run_id"],
    )
    assert {tuple(row.values())[:4] for row in issues} == expected.issues
    assert result["warnings"] == sum(row["severity"] == "warning" for row in issues)


def count_changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, int]:
    """Returns the counts that a load must report, given the rows before and after it."""
    old, new = (
        {row["user_id"]: [row[n] for n in ROWS] for row in rows} for rows in (before, after)
    )
    kept = old.keys() & new.keys()
    changed = sum(old[user_id] != new[user_id] for user_id in kept)
    return {
        "inserted": len(new) - len(kept),
        "updated": changed,
        "deleted": len(old) - len(kept),
        "unchanged": len(kept) - changed,
    }


@pytest.mark.parametrize("server", VERSIONS, indirect=True)
def test_the_sample_drop(database: Database, sample_drop: Drop, tmp_path: Path) -> None:
    """The sample drop, in the dialect of the published handout, loads on every version.

    On one engine: both write the same files for the load (test_both_engines_load_the_same_rows).
    """
    source = sample_drop.in_dialect(HAND_OUT).write(tmp_path / "drop")
    result = run_drop(database, source)
    assert_database_is(oracle.compute(source), database, result)
    assert result["seconds"].keys() == {"extract", "validate", "transform", "load"}


def test_another_dialect_gives_the_same_database(
    database: Database, sample_drop: Drop, tmp_path: Path
) -> None:
    """The same features and issues, row for row.

    One is enough, which has everything: tests/integration/test_stages.py compares what is read in each of
    them, and nothing that follows knows the dialect.
    """
    first = run_drop(database, sample_drop.write(tmp_path / "plain"))
    tables = ("user_features", "compound_features")
    before = [features_of(database, table) for table in tables]
    faults = (
        "select table_name, rule, value from features.data_issues where run_id = %s "
        "order by table_name, rule, value"
    )
    first_faults = database.query(faults, first["run_id"])
    everything = sample_drop.in_dialect(ALL_DIALECTS[-1]).write(tmp_path / "everything")
    result = run_drop(database, everything, force=True)
    assert [features_of(database, table) for table in tables] == before
    assert database.query(faults, result["run_id"]) == first_faults


@pytest.mark.timeout(900)
@given(
    sequence=st.lists(drops(refused=True), min_size=1, max_size=3),
    engine=st.sampled_from(["pandas", "duckdb"]),
)
@settings(
    max_examples=cases(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_of_drops(
    sequence: list[Drop],
    engine: str,
    server_of: Callable[[str], Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each load replaces the features and reports correct counts; refused drops change nothing."""
    folder = tmp_path_factory.mktemp("drops")
    with server_of("18").database("sequence") as database:
        for number, drop in enumerate(sequence):
            source = drop.write(folder / str(number))
            before = features_of(database)
            options: dict[str, Any] = {"engine": engine, "force": True}
            options |= {"max_rejected_percent": 100, "max_removed_percent": 100}
            try:
                expected = oracle.compute(source)
            except oracle.RefusedError:
                with pytest.raises(DropRefused):
                    run_drop(database, source, allow_empty=True, **options)
                assert features_of(database) == before
                continue
            result = run_drop(database, source, allow_empty=True, **options)
            assert_database_is(expected, database, result)
            changes = count_changes(before, features_of(database))
            assert {name: result[name] for name in changes} == changes
            assert {name: run_of(database, result["run_id"])[name] for name in changes} == changes


@pytest.mark.parametrize("stage", first_or_all("extract", "validate", "transform", "load"))
def test_any_stage_can_be_rerun_with_all_later_ones(
    stage: str, database: Database, sample_drop: Drop, tmp_path: Path
) -> None:
    """Rerunning a stage and all later ones, as after clearing a task, changes nothing.

    Only a run that reads its drop again has another entry, which says that it was unchanged.
    """
    source = sample_drop.write(tmp_path / "drop")
    pipeline = compute_drop(make_pipeline(database, tmp_path / "workspaces"), source)
    result = asdict(pipeline.load())
    before = [features_of(database), features_of(database, "pipeline_runs")]
    stages: list[Callable[[], Any]] = [
        lambda: extract_drop(pipeline, source),
        pipeline.validate,
        pipeline.transform,
        pipeline.load,
    ]
    for run_stage in stages[["extract", "validate", "transform", "load"].index(stage) :]:
        again = run_stage()
    after = [features_of(database), features_of(database, "pipeline_runs")]
    if stage == "extract":
        entry = after[1].pop()
        assert (entry["run_id"], entry["status"]) == (f"{result['run_id']}/2", "unchanged")
        assert (again.run_id, again.status) == (entry["run_id"], entry["status"])
    else:
        assert asdict(again) | {"seconds": 0} == result | {"seconds": 0}
    assert after == before


def test_a_run_cleared_after_its_folder_changed_keeps_provenance(
    database: Database, tmp_path: Path
) -> None:
    """Each load has an entry with the files that it read, and each period names its entry."""
    pipeline = make_pipeline(database, tmp_path / "workspaces", run_id="mine")
    source = tmp_path / "drop"
    read = []
    for name in ("Ann", "Anne"):
        make_drop({1: name}, [(1, "1", name.replace("Ann", "1").replace("e", "0"))]).write(source)
        for stage, call in {
            "extract": lambda: pipeline.extract(LocalPath(source)),
            "validate": pipeline.validate,
            "transform": pipeline.transform,
            "load": pipeline.load,
        }.items():
            with recorded(pipeline.connect, pipeline.run, stage):
                call()
        read.append({f.name: sha256(f.read_bytes()).hexdigest() for f in source.iterdir()})
    entries = {row["run_id"]: row for row in features_of(database, "pipeline_runs")}
    assert {run_id: row["status"] for run_id, row in entries.items()} == {
        "mine": "loaded",
        "mine/2": "loaded",
    }
    for run_id, files in zip(("mine", "mine/2"), read, strict=True):
        found = {file["name"]: file["sha256"] for file in entries[run_id]["source_files"]}
        assert found == files, run_id
    assert read[0] != read[1]
    periods = database.query(
        "select user_name, run_id from features.user_features_history order by valid_from"
    )
    assert [tuple(period.values()) for period in periods] == [("Ann", "mine"), ("Anne", "mine/2")]


def test_both_engines_load_the_same_rows(
    database: Database, sample_drop: Drop, tmp_path: Path
) -> None:
    """After a load with pandas, one with DuckDB finds nothing to write."""
    source = sample_drop.write(tmp_path / "drop")
    run_drop(database, source, engine="pandas")
    before = {name: features_of(database, name) for name in ("user_features", "compound_features")}
    result = run_drop(database, source, engine="duckdb", force=True)
    assert result["engine"] == "duckdb"
    assert (result["updated"], result["inserted"], result["deleted"]) == (0, 0, 0)
    assert {name: features_of(database, name) for name in before} == before
    assert set(COMPOUND_COLUMNS) <= set(before["compound_features"][0])
