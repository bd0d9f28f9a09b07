"""The stages up to the features, on pandas and DuckDB, compared with the oracle."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

from drops import ALL_DIALECTS, EVERY_FAULT, Dialect, Drop, drops, every_fault
from experiment_features.contract import TABLES
from experiment_features.run import Extracted
from experiment_features.workspace import Workspace
from stages import (
    ENGINES,
    assert_as_expected,
    check_drop,
    issues_of,
    read_drop,
    run_stages,
    typed_rows,
)


@pytest.mark.timeout(900)  # on a machine that does much else
@pytest.mark.parametrize("in_sql", [False, True], ids=["plain_lines", "in_sql"])
@given(drop=drops(refused=True))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_drop_gives_what_the_oracle_says(in_sql: bool, drop: Drop) -> None:
    """Features and issues, with file, line and rule, are exactly those of the oracle."""
    with TemporaryDirectory() as folder:
        check_drop(drop, Path(folder), in_sql=in_sql)


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


@pytest.fixture(scope="module")
def plain(sample_drop: Drop, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The oracle's result for the sample drop, written out."""
    folder = tmp_path_factory.mktemp("plain")
    workspace = Workspace(folder / "workspace")
    source = sample_drop.write(folder / "drop")
    run_stages(source, workspace, "duckdb")
    assert_as_expected(source, workspace)
    return workspace


@pytest.mark.parametrize("dialect", ALL_DIALECTS, ids=lambda dialect: dialect.name)
def test_a_drop_is_the_same_in_every_dialect(
    dialect: Dialect, sample_drop: Drop, plain: Workspace, tmp_path: Path
) -> None:
    """Once rows are typed, all dialects give the same, except for the line numbers."""
    workspace = Workspace(tmp_path / "workspace")
    read_drop(sample_drop.in_dialect(dialect).write(tmp_path / "drop"), workspace)
    for table in TABLES:
        rows, plain_rows = (typed_rows(of, table.name) for of in (workspace, plain))
        for row in (*rows, *plain_rows):
            del row["position"]  # tells the line
        assert rows == plain_rows
    facts, plain_facts = workspace.found(Extracted), plain.found(Extracted)
    assert (facts.rows, facts.rising_keys) == (plain_facts.rows, plain_facts.rising_keys)
