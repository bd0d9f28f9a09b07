"""Counting by sorting gives the rows of the expressions, which are the definition."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiment_features.engines.duckdb_engine import DuckDBEngine
from experiment_features.engines.engine import Frame
from experiment_features.features import counts
from experiment_features.features.expressions import (
    count_uses,
    most_common_compounds,
    sum_experiments,
)

LARGEST_USER, LARGEST_COMPOUND = 2**31 - 1, 2**32 - 1
SCHEMA = pa.schema(
    {
        "user_id": pa.int64(),
        "experiment_compound_ids": pa.list_(pa.int64()),
        "experiment_run_time": pa.float64(),
    }
)

Rows = list[tuple[int, list[int]]]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckDBEngine]:
    """The engine that hands over its rows in batches."""
    engine = DuckDBEngine("1GiB", tmp_path / "spill")
    yield engine
    engine.close()


def stored(rows: Rows, engine: DuckDBEngine, folder: Path) -> tuple[Frame, Path]:
    """Experiments, and the file of their sums."""
    users, lists = zip(*rows, strict=True) if rows else ((), ())
    table = pa.table([users, lists, [2.5] * len(rows)], schema=SCHEMA)
    pq.write_table(table, folder / "experiments.parquet")
    experiments, sums = engine.read(folder / "experiments.parquet"), folder / "sums.parquet"
    engine.write(sum_experiments(experiments), sums)
    return experiments, sums


def random_rows(users: int, compounds: int, experiments: int) -> Rows:
    """Half of the experiments are of one user; many users have ties."""
    random = np.random.default_rng(3)
    of = np.where(random.random(experiments) < 0.5, 1, random.integers(1, users, experiments))
    lists = (random.permutation(compounds)[: random.integers(1, 5)] + 1 for _ in of)
    return [(int(user), compounds.tolist()) for user, compounds in zip(of, lists, strict=True)]


@pytest.mark.parametrize(
    ("rows", "shares"),
    [
        pytest.param(random_rows(200, 20, 3_000), 10, id="one_user_has_more_than_two_shares"),
        pytest.param(random_rows(3, 20, 5), 1, id="less_than_a_share"),
        pytest.param(
            [(LARGEST_USER, [1, LARGEST_COMPOUND]), (1, [LARGEST_COMPOUND])], 1, id="largest_ids"
        ),
        pytest.param([], 1, id="none"),
    ],
)
def test_rows_are_those_of_the_expressions(
    rows: Rows, shares: int, engine: DuckDBEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one share or many, whatever a user's part of them."""
    monkeypatch.setattr(counts, "PAIRS", 100)
    monkeypatch.setattr(counts, "_SHARES", 20)
    experiments, sums = stored(rows, engine, tmp_path)
    assert len(counts._share(sums)) + 1 >= shares  # one user's are not divided
    batches = engine.batches(experiments.select("user_id", "experiment_compound_ids"))
    counted = counts.count_by_sorting(batches, sums, tmp_path / "counted")
    assert counted is not None
    assert not sum(file.stat().st_size for file in counted.uses.parent.glob("*.pairs"))
    uses = count_uses(experiments)
    for found, frame in (
        (counted.uses, uses),
        (counted.most_common, most_common_compounds(uses, engine)),
    ):
        expected = frame.collect("pyarrow").to_native()
        table = pq.read_table(found).select(expected.column_names).cast(expected.schema)
        assert sorted(table.to_pylist(), key=str) == sorted(expected.to_pylist(), key=str)


@pytest.mark.parametrize(
    ("user", "compound"), [(LARGEST_USER + 1, 1), (2**63 - 1, 1), (1, LARGEST_COMPOUND + 1)]
)
def test_larger_ids_are_left_to_the_expressions(
    user: int, compound: int, engine: DuckDBEngine, tmp_path: Path
) -> None:
    """And the engine can go on at once, though not all rows were handed over."""
    experiments, sums = stored([(user, [compound])] * 300_000, engine, tmp_path)
    batches = engine.batches(experiments.select("user_id", "experiment_compound_ids"))
    assert counts.count_by_sorting(batches, sums, tmp_path / "counted") is None
    engine.write(count_uses(experiments), tmp_path / "uses.parquet")
    assert pq.read_table(tmp_path / "uses.parquet").to_pylist() == [
        {"user_id": user, "compound_id": compound, "experiments": 300_000}
    ]
