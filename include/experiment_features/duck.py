"""DuckDB as the stages use it: quiet, within a limit of memory, and with nothing of its own."""

from pathlib import Path

import duckdb

from experiment_features.config import Settings


def open_duckdb(spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Opens a database in memory; the caller closes it.

    Args:
        spill: the folder that takes what exceeds the limit of memory
            (EXPERIMENT_FEATURES_MEMORY_LIMIT); without one, exceeding it is an error.
    """
    database = duckdb.connect()
    database.execute("set enable_progress_bar = false")  # it would go to standard output
    database.execute("set preserve_insertion_order = false")
    limit = Settings.from_environment().memory_limit
    database.execute("set memory_limit = $limit", {"limit": limit})
    database.execute("set temp_directory = $folder", {"folder": str(spill or "")})
    return database
