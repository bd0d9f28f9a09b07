"""The worked examples of docs/features.md are what the sample drop gives."""

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
    """What the sample drop must give."""
    return oracle.compute(SAMPLE)


def tables(first_column: str) -> list[dict[str, Any]]:
    """The rows of the tables that begin with a column; cells are JSON, or else text."""
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
    """A number, list or null; else the text as it stands."""
    try:
        return json.loads(cell)
    except json.JSONDecodeError:
        return cell


def test_version_is_the_one_of_the_code() -> None:
    """The document describes what runs."""
    assert DOCUMENT.startswith(f"# The features, version {DEFINITION_VERSION}\n")


def test_users_of_the_examples(expected: oracle.Expected) -> None:
    """A clear winner, a tie, and a user without experiments."""
    examples = tables("user_id")
    assert len(examples) == 3
    for example in examples:
        features = expected.users[example.pop("user_id")]
        mean = "average_experiment_run_time"
        assert example.pop(mean) == (features[mean] and pytest.approx(features[mean], rel=1e-12))
        assert example == {name: value for name, value in features.items() if name != mean}


def test_compounds_of_the_examples(expected: oracle.Expected) -> None:
    """The counts of two compounds."""
    examples = tables("compound_id")
    assert len(examples) == 2
    for example in examples:
        assert expected.compounds[example.pop("compound_id")] == example


def test_experiments_of_the_examples(expected: oracle.Expected) -> None:
    """All valid experiments of the users, as the sample drop has them."""
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


def test_average_of_the_example(expected: oracle.Expected) -> None:
    """The one figure of the run."""
    experiments = sum(user["total_experiments"] for user in expected.users.values())
    average = expected.average_experiments_per_user
    assert f"{experiments} / {len(expected.users)} = {average}." in DOCUMENT
