"""Averages: the double nearest to the exact quotient, whatever the sums and the engine."""

from fractions import Fraction
from pathlib import Path

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drops import run_times_of_all_sizes
from experiment_features.engines.choose import choose_engine
from experiment_features.features.averages import HIGH, PARTS, mean_run_times
from experiment_features.features.expressions import sum_experiments
from experiment_features.workspace import Workspace
from stages import assert_as_expected, run_stages

ENGINES = ["pandas", "duckdb"]
SUMS = st.integers(0, 10**6) | st.integers(0, 2**62)
FEW_DECIMALS = st.integers(0, 10**10).map(lambda number: number * 10**6)


@given(
    st.lists(
        st.tuples(SUMS, SUMS, FEW_DECIMALS | SUMS, st.integers(1, 10**10)), min_size=1, max_size=20
    )
)
@settings(max_examples=100, deadline=None)
def test_a_mean_is_the_nearest_double(rows: list[tuple[int, int, int, int]]) -> None:
    """Of small sums, of those that no double holds, and of those that 64 bits do not hold."""
    means = mean_run_times(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
    assert means.tolist() == [
        float(Fraction((high * HIGH + low) * PARTS + parts, PARTS * count))
        for high, low, parts, count in rows
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_means_of_run_times_of_all_sizes(engine: str, tmp_path: Path) -> None:
    """As the oracle, which divides fractions, has them to the last bit."""
    source = run_times_of_all_sizes().write(tmp_path / "drop")
    workspace = Workspace(tmp_path / "workspace")
    run_stages(source, workspace, engine)
    assert_as_expected(source, workspace)


@pytest.mark.parametrize("engine", ENGINES)
def test_sums_have_room_for_any_drop(engine: str, tmp_path: Path) -> None:
    """What one experiment adds to a sum is such that 9,000 million of them fit into 64 bits."""
    rows = {
        "user_id": pa.array([1, 2], pa.int64()),
        "experiment_compound_ids": pa.array([[1, 2], [3]], pa.list_(pa.int64())),
        "experiment_run_time": pa.array([999999999999.99, 1048575.9999999999], pa.float64()),
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    frame = choose_engine(engine, 1, tmp_path).read(tmp_path / "rows.parquet")
    sums = sum_experiments(frame)
    assert {sums.collect_schema()[name] for name in ("high", "low", "parts", "compounds")} == {
        nw.Int64()
    }
    for row in sums.collect("pyarrow").to_native().to_pylist():
        assert max(row["high"], row["low"], row["parts"]) <= (2**63 - 1) // 9_000_000_000
