"""Runs the stages up to the features, and compares all that they wrote with the oracle."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

import oracle
from comparison import assert_features
from drops import Change, Drop
from experiment_features.contract import TABLES, position_of
from experiment_features.drop.local_path import LocalPath
from experiment_features.engines.choose import choose_engine
from experiment_features.engines.engine import Engine
from experiment_features.errors import ConfigurationError, DropChanged, DropRefused
from experiment_features.features import transform as features
from experiment_features.reading import extract as reading
from experiment_features.reading import typed_file
from experiment_features.rules import validate as checking
from experiment_features.run import Extracted, Transformed, Validated
from experiment_features.store.parts import NoLedger, workspace_parts
from experiment_features.workspace import Workspace

TODAY = date(2026, 11, 22)
ENGINES = ("pandas", "duckdb")
"""Those that need no server; the engine spark has tests of its own, on Sail and on a cluster."""


def extract(source: Any, workspace: Workspace, **options: Any) -> Extracted:
    """Reads a drop into a workspace, as a run without a database does."""
    return reading.extract(source, workspace, workspace_parts(workspace), NoLedger(), **options)


def validate(workspace: Workspace, engine: Engine, **options: Any) -> Validated:
    """Checks what was read into a workspace."""
    return checking.validate(workspace, workspace_parts(workspace), engine, **options)


def transform(workspace: Workspace, engine: Engine) -> Transformed:
    """Computes the features of what was read into a workspace."""
    return features.transform(workspace, workspace_parts(workspace), engine)


def run_stages(
    folder: Path, workspace: Workspace, engine: str, *, in_sql: bool = False, spark: str = "sail"
) -> None:
    """Reads, checks and computes a drop, however faulty; maybe with every line typed in SQL."""
    read_drop(folder, workspace, in_sql=in_sql)
    compute_features(workspace, engine, spark=spark)


def read_drop(folder: Path, workspace: Workspace, *, in_sql: bool = False) -> None:
    """Reads a drop, which may have empty tables."""
    with patch.object(typed_file, "TYPED_HERE", frozenset() if in_sql else typed_file.TYPED_HERE):
        extract(folder, workspace, allow_empty=True)


def check_rows(
    workspace: Workspace, engine: str, *, spark: str = "sail", today: date = TODAY
) -> Engine:
    """Checks what was read, on an engine, which is returned."""
    experiments = workspace.found(Extracted).rows["user_experiments"]
    chosen = choose_engine(engine, experiments, workspace.scratch / "spill", spark)
    validate(workspace, chosen, max_rejected_percent=100, today=today)
    return chosen


def compute_features(
    workspace: Workspace, engine: str, *, spark: str = "sail", today: date = TODAY
) -> None:
    """Checks what was read and computes its features, on an engine."""
    transform(workspace, check_rows(workspace, engine, spark=spark, today=today))


def on_engines(read: Workspace, compute: Callable[[Workspace, str], object]) -> Iterator[Workspace]:
    """Computes what was read on each engine, in a copy of its own beside it."""
    for engine in ENGINES:
        workspace = Workspace(shutil.copytree(read.folder, read.folder.with_name(engine)))
        compute(workspace, engine)
        yield workspace


def check_drop(drop: Drop, folder: Path) -> None:
    """Asserts that a drop gives on each engine what the oracle says, or is refused.

    It is read with and without every line typed in SQL, into the same rows. If a file changes while
    it is read, that try gives nothing, and the next one reads the new file.
    """
    source = drop.write(folder / "source")
    read = Workspace(folder / "read")
    if drop.change:
        check_torn(drop.change, source, read)
    try:
        oracle.compute(source, TODAY)
    except oracle.RefusedError:
        for in_sql in (False, True):
            with pytest.raises(DropRefused):
                read_drop(source, read, in_sql=in_sql)
        return
    read_drop(source, read)
    read_in_sql = Workspace(folder / "read_in_sql")
    read_drop(source, read_in_sql, in_sql=True)
    for table in TABLES:
        assert typed_rows(read_in_sql, table.name) == typed_rows(read, table.name)
    digests = set()
    for workspace in on_engines(read, compute_features):
        assert_as_expected(source, workspace)
        digests.add(digests_of(workspace))
    assert len(digests) == 1


def check_computed(drop: Drop, folder: Path, engine: str) -> None:
    """Asserts that a drop, unless refused, gives on an engine what the oracle and DuckDB say."""
    source = drop.write(folder / "source")
    workspace, on_duckdb = Workspace(folder / engine), Workspace(folder / "duckdb")
    try:
        oracle.compute(source, TODAY)
    except oracle.RefusedError:
        return
    run_stages(source, workspace, engine)
    assert_as_expected(source, workspace)
    run_stages(source, on_duckdb, "duckdb")
    assert digests_of(workspace) == digests_of(on_duckdb)


def check_torn(change: Change, source: Path, workspace: Workspace) -> None:
    """Asserts that a drop is not read while one of its files changes."""
    expected: tuple[type[Exception], ...] = (DropChanged,)
    try:
        oracle.compute(source, TODAY)
    except oracle.RefusedError:  # perhaps even before the file is opened
        expected = (DropChanged, DropRefused)
    with _changing(change, source), pytest.raises(expected):
        read_drop(source, workspace)
    with pytest.raises(ConfigurationError, match="no finished 'extract' stage"):
        workspace.found(Extracted)


@contextmanager
def _changing(change: Change, folder: Path) -> Iterator[None]:
    """Makes the change when its file is first opened, or read."""
    pending = [change]
    open_file = LocalPath.open

    def make_once() -> None:
        if pending:
            pending.pop().make(folder)

    class ChangingStream(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            chunk = super().read(size)
            make_once()
            return chunk

    def open_changing(path: LocalPath) -> io.BufferedReader:
        stream = open_file(path)
        if path.name != change.part.file_name:
            return stream
        if change.once_read:
            return ChangingStream(stream.detach())
        make_once()
        return stream

    with patch.object(LocalPath, "open", open_changing):
        yield


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def typed_rows(workspace: Workspace, table: str) -> list[dict[str, Any]]:
    """The typed rows of a table, with their position, in their order."""
    paths = workspace_parts(workspace).paths(workspace.found(Extracted).parts, table)
    return [
        row | {"position": position_of(number, row["line_number"]), "has_nul": bool(row["has_nul"])}
        for number, path in enumerate(paths, start=1)
        for row in sorted(rows_of(path), key=lambda row: row["line_number"])
    ]


def issues_of(workspace: Workspace) -> set[tuple[str, str, int, str]]:
    """Table, file, line and rule of every issue."""
    if not workspace.issues.exists():
        return set()
    names = ("table_name", "file_name", "line_number", "rule")
    return {tuple(row[name] for name in names) for row in rows_of(workspace.issues)}


def digests_of(workspace: Workspace) -> tuple[str, str]:
    """The digests of features and issues: the same on every engine."""
    features = workspace.found(Transformed).features_sha256
    issues = workspace.found(Validated).issues_sha256
    assert features is not None
    assert issues is not None
    return features, issues


def assert_as_expected(folder: Path, workspace: Workspace) -> None:
    """Asserts that features and issues are the oracle's."""
    expected = oracle.compute(folder, TODAY)
    assert issues_of(workspace) == expected.issues
    assert_features(
        expected,
        rows_of(workspace.features("user_features")),
        rows_of(workspace.features("compound_features")),
    )
    assert workspace.found(Extracted).rows == expected.rows
    average = workspace.found(Transformed).average_experiments_per_user
    assert average == expected.average_experiments_per_user
