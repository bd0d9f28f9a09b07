"""The stages up to the features, on pandas and DuckDB, compared with the oracle.

A longer search for drops that go wrong, which takes one processor some hours:
RANDOM_DROPS=10000 .venv/bin/python -m pytest tests/unit/test_stages.py -k any_drop
"""

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from comparison import assert_features
from drops import ALL_DIALECTS, EVERY_FAULT, Dialect, Drop, drops, every_fault
from experiment_features.errors import DropRefused
from experiment_features.workspace import Workspace
from stages import TODAY, assert_as_expected, issues_of, rows_of, run_stages

ENGINES = ["pandas", "duckdb"]
RANDOM_DROPS = int(os.environ.get("RANDOM_DROPS", "100"))


@pytest.mark.timeout(600 + 2 * RANDOM_DROPS)
@pytest.mark.parametrize("engine", ENGINES)
@given(drop=drops(refused=True), in_sql=st.booleans())
@settings(
    max_examples=RANDOM_DROPS // len(ENGINES),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_drop_gives_what_the_oracle_says(
    engine: str, drop: Drop, in_sql: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Features and issues, with file, line and rule, are exactly those of the oracle."""
    folder = tmp_path_factory.mktemp("drop")
    workspace = Workspace(folder / "workspace")
    source = drop.write(folder / "source")
    try:
        oracle.compute(source, TODAY)
    except oracle.RefusedError:
        with pytest.raises(DropRefused):
            run_stages(source, workspace, engine, in_sql=in_sql)
        return
    run_stages(source, workspace, engine, in_sql=in_sql)
    assert_as_expected(source, workspace)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_fault_is_named(engine: str, tmp_path: Path) -> None:
    """Each faulty row has an issue with its rule; the rows around it have none."""
    source = every_fault().write(tmp_path / "source")
    workspace = Workspace(tmp_path / "workspace")
    run_stages(source, workspace, engine)
    assert_as_expected(source, workspace)
    found = Counter((table, rule) for table, _, _, rule in issues_of(workspace))
    values = Counter((table, rule) for table, rule, _ in EVERY_FAULT)
    assert values <= found  # a value may break a second rule, as the oracle says


@pytest.mark.parametrize("dialect", ALL_DIALECTS, ids=lambda dialect: dialect.name)
def test_a_drop_is_the_same_in_every_dialect(
    dialect: Dialect, sample_drop: Drop, tmp_path: Path
) -> None:
    """The features do not depend on how the drop is written: dialects end before the engines."""
    plain = sample_drop.write(tmp_path / "plain")
    written = sample_drop.in_dialect(dialect).write(tmp_path / "written")
    workspace = Workspace(tmp_path / "workspace")
    run_stages(written, workspace, "duckdb")
    assert_features(
        oracle.compute(plain, TODAY),
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )
