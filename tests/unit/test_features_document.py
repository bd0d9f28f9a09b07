"""The worked examples in docs/features.md match the sample drop."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import oracle
from experiment_features.definitions import DEFINITION_VERSION

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "include" / "data" / "sample"
DOCUMENT = (ROOT / "docs" / "features.md").read_text()


@pytest.fixture(scope="module")
def expected() -> oracle.Expected:
    """What the oracle computes from the sample drop."""
    return oracle.compute(SAMPLE)


def tables(first_column: str) -> list[dict[str, Any]]:
    """Return the rows of all tables whose first column is this one."""
    rows = []
    for block in re.findall(
        rf"^\| {first_column} \|.*?(?:\n\n|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE
    ):
        header, _, *lines = [
            [cell.strip() for cell in line.strip("| \n").split(" | ")]
            for line in block.strip().splitlines()
        ]
        rows += [dict(zip(header, map(to_value, line), strict=True)) for line in lines]
    return rows


def to_value(cell: str) -> Any:
    """Parse a cell as JSON (a number, list or null), or else return its text."""
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return cell


def test_version_matches_the_code() -> None:
    """The document describes the current version of the features."""
    assert DOCUMENT.startswith(f"# The features, version {DEFINITION_VERSION}\n")


def test_example_users(expected: oracle.Expected) -> None:
    """The example users (a clear winner, a tie, no experiments) have the computed features."""
    examples = tables("user_id")
    assert len(examples) == 3
    for example in examples:
        features = expected.users[example.pop("user_id")]
        mean = "average_experiment_run_time"
        assert example.pop(mean) == (features[mean] and pytest.approx(features[mean], rel=1e-12))
        assert example == {name: value for name, value in features.items() if name != mean}


def test_example_compounds(expected: oracle.Expected) -> None:
    """The two example compounds have the computed features."""
    examples = tables("compound_id")
    assert len(examples) == 2
    for example in examples:
        assert expected.compounds[example.pop("compound_id")] == example


def test_example_experiments(expected: oracle.Expected) -> None:
    """All valid experiments of the example users are listed, as in the sample drop."""
    rows = [
        line.split(",")
        for block in re.findall(r"```csv\n(.*?)```", DOCUMENT, re.DOTALL)
        for line in block.splitlines()
    ]
    users = {row[1] for row in rows}
    faulty = {line for table, _, line in expected.rejected if table == "user_experiments"}
    assert rows == sorted(
        (
            list(row.cells.values())
            for row in oracle.read_table(SAMPLE, "user_experiments")
            if row.cells["user_id"] in users and row.line not in faulty
        ),
        key=lambda cells: int(cells[1]),
    )


def test_example_average(expected: oracle.Expected) -> None:
    """The average experiments per user is worked out correctly."""
    experiments = sum(user["total_experiments"] for user in expected.users.values())
    average = expected.average_experiments_per_user
    assert f"{experiments} / {len(expected.users)} = {average}." in DOCUMENT
