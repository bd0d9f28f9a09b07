"""The queries that scripts/query_features.sh knows by name."""

from pathlib import Path
from typing import Any

import pytest

from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES
from experiment_features.errors import DropRejected
from integration.running import load_experiments, make_drop, run_drop
from integration.servers import VERSIONS, Database

FOLDER = Path(__file__).parents[2] / "scripts" / "sql"


def ask(database: Database, preset: str) -> list[dict[str, Any]]:
    """Runs a preset as a user who may only read."""
    return database.query((FOLDER / f"{preset}.sql").read_text(), user="analyst")


def changes(database: Database) -> set[tuple[Any, ...]]:
    """What the last load changed."""
    return {tuple(row.values()) for row in ask(database, "changes")}


@pytest.mark.parametrize("server", VERSIONS, indirect=True)
@pytest.mark.parametrize("preset", sorted(path.stem for path in FOLDER.iterdir()))
def test_a_reader_may_ask_before_the_first_load(preset: str, database: Database) -> None:
    """Every preset runs with the rights of the role, on every PostgreSQL."""
    assert ask(database, preset) == []


def test_users_and_compounds_have_all_features(database: Database, tmp_path: Path) -> None:
    """Their columns are those of the definitions."""
    load_experiments(database, tmp_path, {7: 2})
    for preset, relation in (("users", USER_FEATURES), ("compounds", COMPOUND_FEATURES)):
        (row,) = ask(database, preset)
        assert set(relation.columns) <= set(row)


def test_issues_are_those_of_the_last_load(database: Database, tmp_path: Path) -> None:
    """Neither those of an earlier load, nor those of a drop that was rejected since: see rejected."""
    lenient = {"max_rejected_percent": 90, "allow_empty": True}
    run_drop(database, make_drop({1: "", 2: "B"}).write(tmp_path / "first"), **lenient)
    drop = make_drop({1: "A", 2: "B", 3: ""}).write(tmp_path / "second")
    run_drop(database, drop, **lenient)
    rejected = make_drop({1: "", 2: ""}).write(tmp_path / "third")
    with pytest.raises(DropRejected):
        run_drop(database, rejected, max_rejected_percent=0, allow_empty=True)
    lines = [
        [(row["line_number"], row["rule"]) for row in ask(database, preset)]
        for preset in ("issues", "rejected")
    ]
    assert lines == [[(4, "name_missing")], [(2, "name_missing"), (3, "name_missing")]]


def test_runs_begin_with_the_latest(database: Database, tmp_path: Path) -> None:
    """In the order in which they began."""
    runs = [load_experiments(database, tmp_path, {1: number}) for number in (1, 2)]
    assert [row["run_id"] for row in ask(database, "runs")] == runs[::-1]


def test_changes_are_those_of_the_last_load(database: Database, tmp_path: Path) -> None:
    """New users have no value before, those that are gone none after; equal values are left out."""
    load_experiments(database, tmp_path, {1: 4, 2: 5})
    assert {row[:2] for row in changes(database)} == {
        (user_id, feature) for user_id in (1, 2) for feature in USER_FEATURES.columns[1:]
    }
    load_experiments(database, tmp_path, {1: 6, 3: 0})
    total = "total_experiments"
    assert changes(database) == {
        (1, total, "4", "6"),
        (1, "most_common_compound_experiments", "4", "6"),
        (2, "user_name", "user 2", None),
        (2, total, "5", None),
        (2, "average_experiment_run_time", "1", None),
        (2, "average_compounds_per_experiment", "1", None),
        (2, "most_common_compound_id", "1", None),
        (2, "most_common_compound_name", "Water", None),
        (2, "most_common_compound_experiments", "5", None),
        (2, "most_common_compound_ids", "[1]", None),
        (3, "user_name", None, "user 3"),
        (3, total, None, "0"),
    }
    load_experiments(database, tmp_path, {1: 6})
    assert changes(database) == {(3, "user_name", "user 3", None), (3, total, "0", None)}
    load_experiments(database, tmp_path, {1: 6})
    assert changes(database) == set()


def test_changes_of_a_load_that_began_before_another_had_ended(
    database: Database, tmp_path: Path
) -> None:
    """The other load's changes are not counted as its own."""
    load_experiments(database, tmp_path, {1: 1})
    load_experiments(database, tmp_path, {1: 2})
    last = load_experiments(database, tmp_path, {1: 2, 2: 0})
    query = "update features.pipeline_runs set started_at = '2020-01-01' where run_id = %s"
    database.query(query, last)
    assert {row[0] for row in changes(database)} == {2}
