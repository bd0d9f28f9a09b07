"""The stages up to the features, on pandas and DuckDB, compared with the oracle."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings

from cases import cases
from drops import ALL_DIALECTS, EVERY_FAULT, Change, Dialect, Drop, drops, every_fault
from experiment_features.contract import TABLES
from experiment_features.drop.local_path import LocalPath
from experiment_features.reading import extract
from experiment_features.run import Extracted
from experiment_features.workspace import Workspace
from stages import (
    ENGINES,
    assert_as_expected,
    check_drop,
    check_torn,
    issues_of,
    read_drop,
    run_stages,
    typed_rows,
)


@pytest.mark.timeout(900)  # on a machine that does much else
@given(drop=drops(refused=True))
@settings(max_examples=cases(15), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_drop_gives_what_the_oracle_says(drop: Drop) -> None:
    """Features and issues, with file, line and rule, are exactly those of the oracle."""
    with TemporaryDirectory() as folder:
        check_drop(drop, Path(folder))


@pytest.mark.parametrize("in_place", [True, False], ids=["written over", "replaced"])
@pytest.mark.parametrize("once_read", [True, False], ids=["after a read", "before it"])
def test_a_file_that_changes_is_never_read_torn(
    in_place: bool, once_read: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is kept of such a try; a pipeline that overlooked the change would be found."""
    drop = every_fault("users", "email_invalid")
    longer = replace(drop.parts[0], rows=(*drop.parts[0].rows, drop.parts[0].rows[0]))
    change = Change(longer, in_place, once_read)
    source, workspace = drop.write(tmp_path / "source"), Workspace(tmp_path / "workspace")
    check_torn(change, source, workspace)
    run_stages(source, workspace, "pandas")
    assert_as_expected(source, workspace)
    monkeypatch.setattr(LocalPath, "stamp_of", lambda path, _: path.stamp)
    monkeypatch.setattr(extract, "refuse_changes", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        check_torn(change, drop.write(tmp_path / "again"), workspace)


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
            del row["position"], row["line_number"]
        assert rows == plain_rows
    facts, plain_facts = workspace.found(Extracted), plain.found(Extracted)
    assert (facts.rows, facts.rising_keys) == (plain_facts.rows, plain_facts.rising_keys)
