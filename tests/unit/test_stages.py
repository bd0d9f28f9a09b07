"""The stages up to the features, on both engines, against the oracle.

A longer search for drops that go wrong, here some hours of one processor:
RANDOM_DROPS=10000 .venv/bin/python -m pytest tests/unit/test_stages.py -k any_drop
"""

import os
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from comparison import assert_features
from drops import ALL_DIALECTS, EVERY_FAULT, Dialect, Drop, drops, one_fault
from experiment_features import extract as extract_module
from experiment_features.engines import choose_engine
from experiment_features.errors import DropRefused
from experiment_features.extract import extract
from experiment_features.transform import transform
from experiment_features.validate import validate
from experiment_features.workspace import Workspace

TODAY = date(2026, 11, 22)
ENGINES = ["pandas", "duckdb"]
RANDOM_DROPS = int(os.environ.get("RANDOM_DROPS", "300"))


def run_stages(folder: Path, workspace: Workspace, engine: str, *, is_large: bool = False) -> None:
    """Reads, checks and computes a drop, however faulty; maybe the way large drops are read."""
    with patch.object(extract_module, "LARGE_TABLE_BYTES", 0 if is_large else 2**30):
        facts = extract(folder, workspace, allow_empty=True)
    chosen = choose_engine(engine, facts["rows"]["user_experiments"], workspace.folder / "spill")
    validate(workspace, chosen, max_rejected_percent=100, today=TODAY)
    transform(workspace, chosen)


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def issues_of(workspace: Workspace) -> set[tuple[str, str, int, str]]:
    """Table, file, line and rule of every issue."""
    names = ("table_name", "file_name", "line_number", "rule")
    return {tuple(row[name] for name in names) for row in rows_of(workspace.issues)}


def assert_as_expected(folder: Path, workspace: Workspace) -> None:
    """Asserts that features and issues are the oracle's."""
    expected = oracle.compute(folder, TODAY)
    assert issues_of(workspace) == expected.issues
    assert_features(
        expected,
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )
    assert workspace.facts("extract")["rows"] == expected.rows
    average = workspace.facts("transform")["average_experiments_per_user"]
    assert average == expected.average_experiments_per_user


@pytest.mark.timeout(600 + 2 * RANDOM_DROPS)
@given(drop=drops(), engine=st.sampled_from(ENGINES), is_large=st.booleans())
@settings(
    max_examples=RANDOM_DROPS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_drop_gives_what_the_oracle_says(
    drop: Drop, engine: str, is_large: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every row is in the features, exactly, or among the issues with file, line and rule."""
    folder = tmp_path_factory.mktemp("drop")
    workspace = Workspace(folder / "workspace")
    source = drop.write(folder / "source")
    try:
        oracle.compute(source, TODAY)
    except oracle.RefusedError:
        with pytest.raises(DropRefused):
            run_stages(source, workspace, engine, is_large=is_large)
        return
    run_stages(source, workspace, engine, is_large=is_large)
    assert_as_expected(source, workspace)


@pytest.mark.parametrize(
    ("table", "rule", "value"), EVERY_FAULT, ids=[f"{t}-{r}-{v!r}" for t, r, v in EVERY_FAULT]
)
def test_every_fault_is_named(table: str, rule: str, value: str, tmp_path: Path) -> None:
    """A faulty row has an issue of its rule, and the rows around it have none."""
    source = one_fault(table, rule, value).write(tmp_path / "source")
    workspace = Workspace(tmp_path / "workspace")
    run_stages(source, workspace, "duckdb")
    assert rule in {issue[3] for issue in issues_of(workspace)}
    assert_as_expected(source, workspace)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dialect", ALL_DIALECTS, ids=lambda dialect: dialect.name)
def test_a_drop_is_the_same_in_every_dialect(
    dialect: Dialect, engine: str, sample_drop: Drop, tmp_path: Path
) -> None:
    """How a drop is written changes nothing in its features."""
    plain = sample_drop.write(tmp_path / "plain")
    written = sample_drop.in_dialect(dialect).write(tmp_path / "written")
    workspace = Workspace(tmp_path / "workspace")
    run_stages(written, workspace, engine)
    assert_features(
        oracle.compute(plain, TODAY),
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )
