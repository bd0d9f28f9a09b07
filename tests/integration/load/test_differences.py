"""The command `state --verify`: what a load left in the database is what is in force, computed whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from drops import CLEAN, Drop, Part, Row
from integration.running import run_drop
from integration.servers import Database
from integration.test_command_line import run_command

Command = Callable[..., tuple[int, dict[str, Any]]]

USERS = tuple((str(number), "Dan", "no address", "2024-01-01") for number in range(4, 8))
WHOLE = {
    **CLEAN,
    "users": (*CLEAN["users"], *USERS),
    "user_experiments": (*CLEAN["user_experiments"], ("40", "9", "1", "7")),
}
CHANGES = """
update features.user_features set total_experiments = 9 where user_id = 1;
delete from features.user_features where user_id = 3;
insert into features.compound_features
select 7, 'Gold', 0, 0, run_id, updated_at from features.compound_features limit 1;
update features.data_issues set value = 'x@y.z' where row_id = 4;
update features.data_issues set raw_row = '{}' where row_id = 5;
update features.data_issues set closed_by = run_id where row_id = 6;
insert into features.data_issues
select (jsonb_populate_record(issues, '{"found_by": "me"}')).*
from features.data_issues as issues where row_id = 7;
"""
FOUND: list[tuple[str, int | str, dict[str, Any] | None, dict[str, Any] | None]] = [
    ("user_features", 1, {"total_experiments": 9}, {"total_experiments": 2}),
    ("user_features", 3, None, {"user_name": "Cyd"}),
    ("compound_features", 7, {"compound_name": "Gold"}, None),
    ("data_issues", "users.csv:5", {"value": "x@y.z"}, {"value": "no address"}),
    ("data_issues", "users.csv:6", {"raw_row": {}}, {}),
    ("data_issues", "users.csv:7", None, {"rule": "email_invalid"}),
    ("data_issues", "users.csv:8", {"rule": "email_invalid"}, None),
]
"""Relation, id, and what is at least in the database and in what was computed."""


@pytest.fixture
def whole(database: Database, tmp_path: Path) -> str:
    """The id of a run that loaded a snapshot, with an issue of a user and of an experiment."""
    drop = Drop(tuple(Part(table, "", tuple(map(Row, rows))) for table, rows in WHOLE.items()))
    options = {"max_rejected_percent": 100}
    return str(run_drop(database, drop.write(tmp_path / "whole"), **options)["run_id"])


@pytest.fixture
def verify(database: Database, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command; returns its exit status and what it found."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        command = ("state", "--verify", "--json", "--database-url", database.url(), *arguments)
        status, output, errors = run_command(capsys, *command)
        assert not errors
        return status, json.loads(output)

    return run


def test_what_was_changed_by_hand_is_found(database: Database, whole: str, verify: Command) -> None:
    """In features, compounds and open issues."""
    with database.connect() as connection:
        for statement in CHANGES.split(";"):
            connection.execute(statement)
    status, found = verify()
    assert (status, found["run"], found["equal"]) == (1, whole, False)
    for difference, (relation, row_id, *sides) in zip(found["differences"], FOUND, strict=True):
        named = f"{whole} {row_id} email_invalid" if isinstance(row_id, str) else row_id
        assert (difference["relation"], difference["id"]) == (relation, named)
        for side, expected in zip(("database", "computed"), sides, strict=True):
            assert (difference[side] is None) == (expected is None)
            assert (expected or {}).items() <= (difference[side] or {}).items()


def test_what_deltas_left_is_what_is_in_force(
    database: Database, whole: str, tmp_path: Path, verify: Command
) -> None:
    """Issues of earlier drops and of the last one too, though it is forced; without an error."""
    assert verify() == (
        0, {"run": whole, "engine": "pandas", "equal": True, "changes": [], "differences": []}
    )  # fmt: skip
    users = Part("users", "", (Row(("5", "Eve", "", "2024-01-01")), Row(("1", "", "a@b.org", ""))))
    source = Drop((users, Part("deleted_compounds", "", (Row(("3",)), Row(("7",)))))).write(
        tmp_path / "delta"
    )
    for force in (False, True):
        options = {"mode": "delta", "force": force, "max_removed_percent": 100}
        result = run_drop(database, source, given_source=str(source), **options)
        assert (result["status"], verify()[0]) == ("loaded", 0)
    assert verify()[1]["run"] == result["run_id"]


@pytest.mark.usefixtures("whole")
def test_a_column_of_ones_own_is_no_difference(
    database: Database, tmp_path: Path, verify: Command
) -> None:
    """Nor does it hinder a delta, though it must not be null."""
    for table in ("data_issues", "user_features", "pipeline_runs"):
        add = "alter table {} add column seen_by text not null default 'nobody'"
        database.query(sql.SQL(add).format(sql.Identifier("features", table)))
    assert verify()[0] == 0
    users = Part("users", "", (Row(("5", "Eve", "no address", "2024-01-01")),))
    result = run_drop(database, Drop((users,)).write(tmp_path / "delta"), mode="delta")
    assert (result["status"], verify()[0]) == ("loaded", 0)


def test_for_people(database: Database, whole: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each row that differs, and a verdict."""
    database.query(
        "update features.compound_features set compound_name = 'Wine' where compound_id = 2"
    )
    arguments = ("state", "--verify", "--database-url", database.url())
    status, output, _ = run_command(capsys, *arguments)
    assert (status, output.splitlines()) == (
        1,
        [
            (
                'compound_features 2: {"compound_name": "Wine"} in the database, '
                '{"compound_name": "Ethanol"} computed'
            ),
            f"features, compounds and open issues after run {whole}: not equal",
        ],
    )
