"""Compares what the pipeline made of a drop with what the oracle says."""

from typing import Any

import pyarrow as pa

from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES
from experiment_features.reading.file_reader import FileReader
from oracle import Expected

USER_COLUMNS = USER_FEATURES.columns[1:]
COMPOUND_COLUMNS = COMPOUND_FEATURES.columns[1:]


def assert_features(
    expected: Expected, users: list[dict[str, Any]], compounds: list[dict[str, Any]]
) -> None:
    """Asserts that the rows of user_features and compound_features are the expected ones."""
    assert len(users) == len(expected.users), "a user is there twice, or lost"
    found = {row["user_id"]: {name: row[name] for name in USER_COLUMNS} for row in users}
    assert found == expected.users
    assert len(compounds) == len(expected.compounds), "a compound is there twice, or lost"
    assert {
        row["compound_id"]: {name: row[name] for name in COMPOUND_COLUMNS} for row in compounds
    } == expected.compounds


def rows_of_file(file: FileReader) -> list[dict[str, Any]]:
    """Every row that the reader yields, as a dictionary of file_reader.ROWS."""
    return [
        row
        for block in file.blocks()
        for row in (block if isinstance(block, pa.RecordBatch) else block.rows()).to_pylist()
    ]
