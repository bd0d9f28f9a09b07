"""Which engine a run computes on."""

import sys
from collections.abc import Sequence
from pathlib import Path

from experiment_features.config import Settings
from experiment_features.engines.duckdb_engine import DuckDBEngine
from experiment_features.engines.engine import Engine
from experiment_features.engines.pandas_engine import PandasEngine
from experiment_features.errors import ConfigurationError
from experiment_features.workspace import Copy

ENGINES = ("auto", "pandas", "duckdb", "spark")

LARGE_DROP_ROWS = 10_000
"""`auto` takes DuckDB for drops with more experiments. Spark is used only when it is
named: there is no guessing where its cluster is, or whether a drop is worth sending there."""

LARGE_DROP_BYTES = 4 * 2**20
"""Also for drops with more text, even if they have few experiments: a compound's id takes two bytes
in the text, but about a hundred in pandas, which has no memory limit."""


def choose_engine(
    name: str,
    experiments: int,
    spill: Path,
    spark_master: str = Settings.spark_master,
    memory_limit: str = Settings.memory_limit,
    text_bytes: int = 0,
    copies: Sequence[Copy] = (),
) -> Engine:
    """The engine of that name.

    ``auto`` is pandas for drops with few experiments and little text if it is loaded already, as
    importing it takes longer than DuckDB needs for them; else DuckDB.

    Of folders with copies in object storage, Spark reads and writes the copies.

    Raises:
        ConfigurationError: there is no such engine, or what it needs is not installed.
        EngineUnavailable: Spark cannot be reached.
    """
    if name not in ENGINES:
        raise ConfigurationError(f"engine is {name!r}: expected one of {', '.join(ENGINES)}")
    if name == "auto":
        is_small = experiments <= LARGE_DROP_ROWS and text_bytes <= LARGE_DROP_BYTES
        name = "pandas" if is_small and "pandas" in sys.modules else "duckdb"
    if name == "spark":
        from experiment_features.engines.spark_engine import SparkEngine

        return SparkEngine(spark_master, copies)
    return PandasEngine() if name == "pandas" else DuckDBEngine(memory_limit, spill)
