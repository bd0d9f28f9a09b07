"""The rows that count: those of a table that no rule rejected."""

from pathlib import Path

import pyarrow.parquet as pq

from experiment_features.engines.engine import Engine, Frame


def valid_rows(rows: Frame, rejected: Path, engine: Engine) -> Frame:
    """The rows, by position, that are not in a file of rejected ones."""
    if not count_rows(rejected):
        return rows
    return engine.without(rows, engine.read(rejected), "position")


def count_rows(file: Path) -> int:
    """The rows of a Parquet file; none, if there was nothing to write into it."""
    return int(pq.read_metadata(file).num_rows) if file.exists() else 0
