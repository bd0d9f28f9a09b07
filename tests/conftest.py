"""What tests of all kinds share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import oracle
from drops import COLUMNS, Drop, Part, Row
from e2e.local_stack import Stack, make_stack

# Before Airflow is imported anywhere: it makes its home, and reads its settings, at import.
_home = tempfile.TemporaryDirectory(prefix="experiment_features_airflow_")
os.environ |= {"AIRFLOW_HOME": _home.name, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

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


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The running stack that the tests of Airflow share; its start is what takes the time."""
    stack = make_stack()
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(stack.folder)


@pytest.fixture(scope="session")
def loaded(stack: Stack) -> dict[str, Any]:
    """The result of the first run, over the sample drop."""
    return stack.trigger()
