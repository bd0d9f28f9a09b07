"""The command `state --export`: what is in force, as a drop that loads to the same."""

import json
from pathlib import Path
from typing import Any

import pytest

from drops import Drop, every_fault
from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES
from integration.running import features_of
from integration.servers import Database, Server
from integration.test_command_line import run_command

ISSUES = "select table_name, row_id, rule, column_name, value from features.latest_data_issues"


def held(database: Database) -> list[list[Any]]:
    """Features, compounds, and the open issues of rows with a readable id."""
    return [
        *(
            [
                [row[name] for name in relation.columns]
                for row in features_of(database, relation.name)
            ]
            for relation in (USER_FEATURES, COMPOUND_FEATURES)
        ),
        database.query(f"{ISSUES} where row_id is not null order by 1, 2, 3, 4, 5"),
    ]


def test_an_export_loads_to_the_same(
    database: Database,
    server: Server,
    sample_drop: Drop,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also after a delta, and for one who may only read."""
    whole = every_fault().write(tmp_path / "whole")
    changed = sample_drop.write(tmp_path / "changed")
    options = ("--max-rejected-percent", "100", "--max-removed-percent", "100")
    for source, mode in ((whole, "snapshot"), (changed, "delta")):
        command = ("run", str(source), "--mode", mode, *options)
        status, _, errors = run_command(capsys, *command, "--database-url", database.url())
        assert status == 0, errors
    target = tmp_path / "exports" / "today"
    export = ("state", "--export", str(target), "--json", "--database-url")
    status, output, errors = run_command(capsys, *export, database.url("analyst"))
    assert (status, errors) == (0, "")
    files = json.loads(output)["files"]
    assert sorted(file["name"] for file in files) == sorted(path.name for path in target.iterdir())
    assert target.stat().st_mode & 0o777 == 0o700, "it holds names and addresses"
    with server.database(f"{database.name}_again") as again:
        command = ("run", str(target), *options)
        assert run_command(capsys, *command, "--database-url", again.url())[0] == 0
        assert held(again) == held(database)
    status, output, errors = run_command(capsys, *export, database.url())
    assert (status, output) == (1, "")
    assert (
        errors
        == f"refused: {target} is not an empty folder: name one that is empty, or not there yet\n"
    )


@pytest.mark.parametrize(
    ("place", "message"),
    [("", "it is empty: expected a folder"), ("s3://bucket/key", "is not on this machine")],
)
def test_only_a_folder_of_this_machine_is_taken(
    place: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything else is wrong usage."""
    status, _, errors = run_command(capsys, "state", "--export", place, "--database-url", "x")
    assert (status, message in errors) == (2, True)


def test_nothing_to_export(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first load."""
    command = ("state", "--export", str(tmp_path / "export"), "--database-url", database.url())
    status, _, errors = run_command(capsys, *command)
    assert (status, "nothing has been loaded yet" in errors) == (1, True)
