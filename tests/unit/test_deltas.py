"""Sequences of snapshots and deltas: what is in force is what one run over all of it would give."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import delta_oracle
from comparison import assert_features
from delta_drops import Step, sequences
from drops import Drop, Part, Row
from experiment_features.contract import DELETIONS, Mode
from experiment_features.drop.base import Known, LastLoad
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import DropRefused, DropRejected
from experiment_features.features import transform as features
from experiment_features.load.part_store import entered
from experiment_features.reading import extract as reading
from experiment_features.rules import validate as checking
from experiment_features.rules.rules import RULES
from experiment_features.run import Extracted, Validated
from experiment_features.store.parts import NoLedger, PartStore
from experiment_features.workspace import Workspace
from oracle import RefusedError
from stages import ENGINES, TODAY, rows_of


class InProcess:
    """Loads drops one after the other, as far as the features, without a database."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.last: LastLoad | None = None
        self._folder, self._engine = folder, engine
        self._count = 0

    def load(
        self,
        source: Path,
        mode: Mode,
        today: date = TODAY,
        *,
        max_rejected_percent: float = 100,
        allow_empty: bool = True,
    ) -> Workspace:
        """Computes a drop on top of those before, and makes it the last load."""
        self._count += 1
        run_id = f"run{self._count}"
        workspace = Workspace(self._folder / run_id)
        store = PartStore(self._folder / "store", "db", workspace.scratch / "parts")
        options = {"mode": mode, "last": self.last, "allow_empty": allow_empty}
        found = reading.extract(source, workspace, store, NoLedger(), **options)
        engine = choose_engine(self._engine, 1, workspace.scratch / "spill")
        checking.validate(
            workspace,
            store,
            engine,
            max_rejected_percent=max_rejected_percent,
            today=today,
            allow_empty=allow_empty,
        )
        features.transform(workspace, store, engine)
        below = self.last.load if self.last and found.base_run_id else None
        layers = entered(found.layers, run_id)
        self.last = LastLoad(
            Known(run_id, [run_id]), below, str(source), found.mode, layers, can_be_unchanged=False
        )
        return workspace


def issues_of(workspace: Workspace) -> Counter[delta_oracle.Issue]:
    """The issues that hold, as the oracle tells them."""
    columns = ("table_name", "row_id", "rule", "column_name", "value")
    rows = rows_of(workspace.issues) if workspace.issues.exists() else []
    return Counter(tuple(row[column] for column in columns) for row in rows)  # type: ignore[misc]


def assert_as_expected(expected: delta_oracle.DeltaExpected, workspace: Workspace) -> None:
    """Compares features, issues and counts."""
    assert_features(
        expected,
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )
    assert issues_of(workspace) == expected.open_issues
    validated = workspace.found(Validated)
    assert validated.warnings == expected.warnings
    assert validated.rejected_rows == len(expected.rejected)


def check_sequence(sequence: list[Step], folder: Path, engine: str, percent: float) -> None:
    """Loads a sequence of drops, and compares the outcome of each with the oracle."""
    product, state, loaded = InProcess(folder, engine), None, None
    for number, step in enumerate(sequence):
        source = step.drop.write(folder / f"drop{number}")
        mode: Any = step.mode
        limits = {"max_rejected_percent": percent}
        again = (mode, {path.name: path.read_bytes() for path in source.glob("*s*.csv*")})
        try:
            following = delta_oracle.follow(state, source, step.mode, allow_empty=True)
            if again == loaded:  # the last drop once more, which is computed on what it was
                following = state
        except (RefusedError, UnicodeDecodeError):
            with pytest.raises(DropRefused):
                product.load(source, mode)
            continue
        expected = delta_oracle.compute(following, TODAY)
        if expected.is_rejected(percent):
            with pytest.raises(DropRejected):
                product.load(source, mode, **limits)
            continue
        assert_as_expected(expected, product.load(source, mode, **limits))
        state, loaded = following, again


@pytest.mark.parametrize("engine", ENGINES)
@given(
    sequence=sequences(most=3, refused=True),
    percent=st.sampled_from((100.0, 100.0, 40.0)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_sequence_gives_what_the_oracle_says(
    engine: str,
    sequence: list[Step],
    percent: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Features, issues, and what refuses or rejects a drop."""
    check_sequence(sequence, tmp_path_factory.mktemp("sequence"), engine, percent)


def rows(table: str, *cells: tuple[str, ...], suffix: str = "") -> Part:
    """A file of a table."""
    return Part(table, suffix, tuple(map(Row, cells)))


SNAPSHOT = Drop(
    (
        rows("users", ("1", "Ann", "a@b.c", "2024-01-01"), ("2", "Bo", "a@b.c", "2024-01-01")),
        rows("compounds", ("1", "Water", "H2O"), ("2", "Salt", "NaCl")),
        rows("user_experiments", ("1", "1", "1", "1"), ("2", "1", "1", "1"), ("3", "2", "2", "")),
    )
)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_rule_of_deletions_has_a_bad_row(engine: str, tmp_path: Path) -> None:
    """They are shown like any other issue."""
    cells = ["", "x", "9", "9"]
    shapes = ["too_many_fields", "malformed_quotes"]
    bad = tuple([Row((cell,)) for cell in cells] + [Row(("1",), shape) for shape in shapes])
    product = InProcess(tmp_path, engine)
    product.load(SNAPSHOT.write(tmp_path / "whole"), "snapshot")
    delta = Drop(tuple(Part(deletions.name, "", bad) for deletions in DELETIONS.values()))
    source = delta.write(tmp_path / "delta")
    for deletions in DELETIONS.values():
        with (source / f"{deletions}.csv").open("a") as file:
            file.write("8\0\n")
    found = {(table, rule) for table, _, rule, _, _ in issues_of(product.load(source, "delta"))}
    expected = {
        (rule.table.name, rule.name)
        for rule in RULES
        if rule.table in DELETIONS.values() and rule.name != "too_few_fields"
    }
    assert found == expected


def refuse(folder: Path, delta: Drop, message: str, **options: Any) -> None:
    """Asserts that a delta on the snapshot is refused, on each engine."""
    for engine in ENGINES:
        product = InProcess(folder / engine, engine)
        product.load(SNAPSHOT.write(folder / engine / "whole"), "snapshot")
        with pytest.raises(DropRefused, match=message):
            product.load(delta.write(folder / engine / "delta"), "delta", **options)


def test_what_is_both_brought_and_deleted(tmp_path: Path) -> None:
    """The message has both places."""
    delta = Drop(
        (
            rows("users", ("7", "Cy", "a@b.c", "2024-01-01"), ("2", "B", "a@b.c", "2024-01-01")),
            rows("deleted_users", ("1",), ("+2",), suffix="_1"),
        )
    )
    places = r"user_id 2 \(users.csv:3\) and deletes it \(deleted_users_1.csv:3\)"
    refuse(tmp_path, delta, places)


def test_a_table_that_becomes_empty(tmp_path: Path) -> None:
    """Judged on what results, unless empty tables are allowed."""
    delta = Drop((rows("deleted_users", ("1",), ("2",)),))
    refuse(tmp_path, delta, "deletes all rows of users", allow_empty=False)
    product = InProcess(tmp_path, "pandas")
    product.load(SNAPSHOT.write(tmp_path / "whole"), "snapshot")
    workspace = product.load(delta.write(tmp_path / "delta"), "delta")
    assert rows_of(workspace.features("user_features")) == []


def test_a_file_without_rows_changes_nothing(tmp_path: Path) -> None:
    """It is not an empty table."""
    product = InProcess(tmp_path, "duckdb")
    product.load(SNAPSHOT.write(tmp_path / "whole"), "snapshot")
    delta = Drop((rows("users"), rows("deleted_compounds")))
    workspace = product.load(delta.write(tmp_path / "delta"), "delta", allow_empty=False)
    assert len(rows_of(workspace.features("user_features"))) == 2
    assert workspace.found(Extracted).base_run_id == "run1"
