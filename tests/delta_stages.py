"""Runs the stages on sequences of snapshots and deltas, and compares each load with the oracle."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import oracle
from comparison import assert_features
from delta_drops import Step
from delta_oracle import DeltaExpected, State, compute, follow
from experiment_features.config import Settings
from experiment_features.contract import COMPOUNDS, TABLES, position_of
from experiment_features.definitions import RELATIONS
from experiment_features.drop.base import Known, LastLoad
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import DropRefused, DropRejected
from experiment_features.features.transform import transform
from experiment_features.load.part_store import entered
from experiment_features.reading.extract import extract
from experiment_features.report.export import ExportedFile, export
from experiment_features.rules.validate import validate
from experiment_features.run import Extracted, Transformed, Validated
from experiment_features.store import compaction
from experiment_features.store.before import Before
from experiment_features.store.layers import Layers
from experiment_features.store.parts import NoLedger, PartStore
from experiment_features.workspace import Workspace
from stages import TODAY, compute_features, read_drop, rows_of


class InProcess:
    """Loads drops without a database: what it would hold is remembered here."""

    def __init__(self, folder: Path, engine: str) -> None:
        """Begins without a load.

        Args:
            folder: gets the store and the workspaces.
            engine: what to compute on; of Spark, Sail takes the place.
        """
        self.folder, self.engine = folder, engine
        self.store = PartStore(folder / "store", "a_database", folder / "cache")
        self.last: LastLoad | None = None
        self.today = TODAY
        self.totals: Mapping[str, int] = {}
        self.features: dict[str, dict[int, dict[str, Any]]] = {}
        """By relation and key, the rows."""
        self.issues: list[dict[str, Any]] = []
        """The open ones."""

    def load(self, source: Path, step: Step, run_id: str, today: date) -> Workspace:
        """Runs the stages of a drop, and takes what it found as the last load.

        Raises:
            DropRefused, DropRejected: see the stages; then the last load is that of before.
        """
        workspace = Workspace(self.folder / f"run_{source.name}")
        with patch.object(compaction, "MOST_LAYERS", 2):
            extracted = extract(
                source,
                workspace,
                self.store,
                NoLedger(),
                mode=step.mode,
                last=self.last,
                allow_empty=step.allow_empty,
            )
        engine = choose_engine(self.engine, 0, workspace.scratch / "spill", "sail")
        validate(
            workspace,
            self.store,
            engine,
            max_rejected_percent=step.max_rejected_percent,
            today=today,
            before=self._before(extracted) if extracted.builds_on_last else None,
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
        )
        self._take(workspace, run_id, today)
        return workspace

    def _before(self, extracted: Extracted) -> Before:
        """What find_before reads from the database."""
        layers = Layers(extracted.layers, self.store)
        numbers = {(file.table, file.run_id, file.name): file.number for file in layers.files()}
        issues = {}
        for table in TABLES:
            rows = [
                (
                    position_of(
                        numbers[table.name, issue["run_id"], issue["file_name"]],
                        issue["line_number"],
                    ),
                    issue["row_id"],
                    issue["severity"] == "error",
                )
                for issue in self.issues
                if issue["table_name"] == table.name and issue["row_id"] is not None
            ]
            issues[table] = rows
        compounds = [
            tuple(row[name] for name in ("compound_id", "total_experiments", "total_users"))
            for row in self.features["compound_features"].values()
        ]
        touched = set(layers.touched_ids(COMPOUNDS))
        users = [
            (user_id,)
            for user_id, row in self.features["user_features"].items()
            if row["most_common_compound_id"] in touched
        ]
        return Before(self.today, issues, compounds, users, self.totals)

    def _take(self, workspace: Workspace, run_id: str, today: date) -> None:
        """Does what a load does to the database."""
        transformed, validated = workspace.found(Transformed), workspace.found(Validated)
        is_whole = validated.totals_before is None
        for relation in RELATIONS:
            known = {} if is_whole else self.features[relation.name]
            if not is_whole:
                for row in rows_of(workspace.computed(relation.name)):
                    known.pop(row[relation.key], None)
            new = {row[relation.key]: row for row in rows_of(workspace.features(relation.name))}
            assert not new.keys() & known.keys(), "a row that was not computed again is there"
            self.features[relation.name] = known | new
        kept = []
        if not is_whole:
            judged = {
                table.name: {row[table.key] for row in rows_of(workspace.judged(table.name))}
                for table in TABLES
            }
            kept = [
                issue
                for issue in self.issues
                if issue["row_id"] is not None
                and issue["table_name"] in judged
                and issue["row_id"] not in judged[issue["table_name"]]
            ]
        found = rows_of(workspace.issues) if workspace.issues.exists() else []
        self.issues = kept + [issue | {"run_id": issue["run_id"] or run_id} for issue in found]
        self.today = today
        self.totals = transformed.totals

    def export(self, folder: Path) -> list[ExportedFile]:
        """Writes what is in force."""
        assert self.last is not None
        layers, spill = Layers(self.last.layers, self.store), self.folder / "spill"
        return export(layers, folder, memory_limit=Settings.memory_limit, spill=spill)


def check_sequence(
    sequence: Sequence[Step], folder: Path, engine: str, last_engine: str | None = None
) -> None:
    """Asserts that each drop gives what the oracle says, or is refused and changes nothing.

    In the end, what is in force is exported, and gives the same; not on pandas, as no engine takes
    part in it. The id of a run is its drop's number in the oracle. The last drop may be computed on
    another engine.
    """
    loads = InProcess(folder, engine)
    state: State | None = None
    loaded: object = None
    last: tuple[DeltaExpected, date] | None = None
    today = TODAY
    for number, step in enumerate(sequence):
        if last_engine and step is sequence[-1]:
            loads.engine = last_engine
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
        workspace = loads.load(source, step, str(state.number), today)
        assert_as_expected(expected, loads, workspace)
        last = expected, today
    if last and engine != "pandas":
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


def assert_as_expected(expected: DeltaExpected, loads: InProcess, workspace: Workspace) -> None:
    """Asserts that features, issues and figures are the oracle's."""
    assert Counter(map(_issue_of, loads.issues)) == expected.open_issues
    assert {
        (
            issue["table_name"],
            f"{issue['run_id']}/{issue['file_name']}",
            issue["line_number"],
            issue["rule"],
        )
        for issue in loads.issues
    } == expected.issues
    assert_features(
        expected,
        list(loads.features["user_features"].values()),
        list(loads.features["compound_features"].values()),
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
