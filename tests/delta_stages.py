"""Runs the stages on sequences of snapshots and deltas, and compares each load with the oracle."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

import oracle
from comparison import assert_features
from delta_drops import Step
from delta_oracle import DeltaExpected, State, compute, follow
from experiment_features.config import Settings
from experiment_features.drop.base import Known, LastLoad
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import DropRefused, DropRejected
from experiment_features.features.transform import transform
from experiment_features.load.part_store import entered
from experiment_features.reading.extract import extract
from experiment_features.report.export import ExportedFile, export
from experiment_features.rules.validate import validate
from experiment_features.run import Transformed, Validated
from experiment_features.store.layers import Layers
from experiment_features.store.parts import NoLedger, PartStore
from experiment_features.workspace import Workspace
from stages import TODAY, compute_features, read_drop, rows_of


class InProcess:
    """Loads drops without a database: what the last load had is remembered here."""

    def __init__(self, folder: Path, engine: str, spark: str = "") -> None:
        """Begins without a load.

        Args:
            folder: gets the store and the workspaces.
            engine: what to compute on.
            spark: the master, if that is Spark.
        """
        self.folder, self.engine, self.spark = folder, engine, spark
        self.store = PartStore(folder / "store", "a_database", folder / "cache")
        self.last: LastLoad | None = None

    def load(self, source: Path, step: Step, run_id: str, today: date) -> Workspace:
        """Runs the stages of a drop, and takes what it found as the last load.

        Raises:
            DropRefused, DropRejected: see the stages; then the last load is that of before.
        """
        workspace = Workspace(self.folder / f"run_{source.name}")
        extracted = extract(
            source,
            workspace,
            self.store,
            NoLedger(),
            mode=step.mode,
            last=self.last,
            allow_empty=step.allow_empty,
        )
        engine = choose_engine(self.engine, 0, workspace.scratch / "spill", self.spark)
        validate(
            workspace,
            self.store,
            engine,
            max_rejected_percent=step.max_rejected_percent,
            today=today,
            allow_empty=step.allow_empty,
        )
        transform(workspace, self.store, engine)
        base = extracted.base_run_id
        self.last = LastLoad(
            load=Known(run_id, [run_id]),
            below=Known(base, [base]) if base else None,
            source=str(source),
            mode=extracted.mode,
            layers=entered(extracted.layers, run_id),
            can_be_unchanged=False,
        )
        return workspace

    def export(self, folder: Path) -> list[ExportedFile]:
        """Writes what is in force."""
        assert self.last is not None
        layers, spill = Layers(self.last.layers, self.store), self.folder / "spill"
        return export(layers, folder, memory_limit=Settings.memory_limit, spill=spill)


def check_sequence(sequence: Sequence[Step], folder: Path, engine: str, spark: str = "") -> None:
    """Asserts that each drop gives what the oracle says, or is refused and changes nothing.

    In the end, what is in force is exported, and gives the same. The id of a run is its drop's
    number in the oracle. With a Spark master, the last drop is computed there.
    """
    loads = InProcess(folder, engine, spark)
    state: State | None = None
    loaded: object = None
    last: tuple[DeltaExpected, date] | None = None
    today = TODAY
    for number, step in enumerate(sequence):
        if spark and step is sequence[-1]:
            loads.engine = "spark"
        today += timedelta(step.days)
        source = step.drop.write(folder / str(number))
        names = sorted({part.file_name for part in step.drop.parts})
        files = step.mode, [(name, (source / name).read_bytes()) for name in names]
        # The files of the last load again stand on what that stood on.
        below = state.below if state and files == loaded else state
        try:
            after = follow(below, source, step.mode, allow_empty=step.allow_empty)
        except oracle.RefusedError:
            with pytest.raises(DropRefused) as refused:
                loads.load(source, step, "refused", today)
            assert refused.value.status == "refused"
            continue
        expected = compute(after, today)
        if expected.is_rejected(step.max_rejected_percent):
            with pytest.raises(DropRejected):
                loads.load(source, step, "rejected", today)
            continue
        state, loaded = after, files
        run_id = str(state.number)
        assert_as_expected(expected, loads.load(source, step, run_id, today), run_id)
        last = expected, today
    if last:
        loads.export(folder / "exported")
        assert_exported(folder / "exported", *last)


def assert_exported(source: Path, expected: DeltaExpected, today: date) -> None:
    """Asserts that an export gives the same features and issues of rows with a readable id."""
    workspace = Workspace(source.with_name("run_exported"))
    read_drop(source, workspace)
    compute_features(workspace, "duckdb", today=today)
    issues = [issue for issue in _issues(workspace) if issue["row_id"] is not None]
    assert Counter(map(_issue_of, issues)) == expected.lasting_issues
    assert_features(
        expected,
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )


def assert_as_expected(expected: DeltaExpected, workspace: Workspace, run_id: str) -> None:
    """Asserts that features, issues and figures are the oracle's."""
    issues = _issues(workspace)
    assert Counter(map(_issue_of, issues)) == expected.open_issues
    assert {
        (
            issue["table_name"],
            f"{issue['run_id'] or run_id}/{issue['file_name']}",
            issue["line_number"],
            issue["rule"],
        )
        for issue in issues
    } == expected.issues
    assert_features(
        expected,
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )
    average = workspace.found(Transformed).average_experiments_per_user
    assert average == expected.average_experiments_per_user
    validated = workspace.found(Validated)
    assert (validated.rejected_rows, validated.warnings) == (
        len(expected.rejected),
        expected.warnings,
    )


def _issues(workspace: Workspace) -> list[dict[str, Any]]:
    return rows_of(workspace.issues) if workspace.issues.exists() else []


def _issue_of(issue: dict[str, Any]) -> tuple[Any, ...]:
    """An issue as the oracle tells it."""
    return tuple(issue[name] for name in ("table_name", "row_id", "rule", "column_name", "value"))
