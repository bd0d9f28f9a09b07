"""What tests of all kinds share."""

from pathlib import Path

import pytest

import oracle
from drops import COLUMNS, Drop, Part, Row

SAMPLE = Path(__file__).parents[1] / "include" / "data" / "sample"


@pytest.fixture(scope="session")
def sample_drop() -> Drop:
    """The rows of the sample drop, to be written in any dialect."""
    return Drop(
        tuple(
            Part(
                table,
                "",
                tuple(
                    Row(tuple(row.cells[column] for column in columns))
                    for row in oracle.read_table(SAMPLE, table)
                ),
            )
            for table, columns in COLUMNS.items()
        )
    )
