"""Trace: from a user's features to the lines that they are made of.

Nothing is stored for it: it is a scan of one column of the parts of the experiments.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from duckdb import (
    ColumnExpression,
    ConstantExpression,
    DuckDBPyConnection,
    Expression,
    IOException,
    OutOfMemoryException,
)

from experiment_features.contract import USER_EXPERIMENTS, file_number_of, line_of, position_of
from experiment_features.definitions import USER_FEATURES
from experiment_features.drop.files import Part
from experiment_features.engines.duckdb_engine import open_duckdb, read_parquet, read_parts
from experiment_features.errors import ConfigurationError, StorageUnavailable
from experiment_features.load.database import Connection, comma_separated, database_errors
from experiment_features.load.loads import Load
from experiment_features.report.paging import Row, fetch, read_sql
from experiment_features.store.parts import PartStore

_SHOWN = [
    USER_EXPERIMENTS.column(name)
    for name in ("experiment_id", "experiment_compound_ids", "experiment_run_time")
]
"""No others, because parts by older versions of the reader may have other columns."""

_FEW_ROWS = 10_000
"""Of a user with more rows, it is faster to look up all rejected rows than those of the user."""


@dataclass(frozen=True)
class TracedRow:
    """A row of the experiments of a user."""

    file: str
    line: int
    """On which the row starts, from 1."""
    experiment_id: int | str | None
    compound_ids: list[int] | str | None
    run_time: float | str | None
    """In the drop's own unit. These three are texts, as they are spelled, if they are invalid."""
    rules: list[str]
    """For which the row was rejected; none if it counts."""

    @property
    def place(self) -> str:
        """The file and line, as editors take them."""
        return _place(self.file, self.line)


@dataclass(frozen=True)
class Trace:
    """The features of a user in a load, and every row behind them."""

    user_id: int
    load: Load
    features: Row | None
    """None for a user who had none: the drop had no valid row of the user."""
    rows: list[TracedRow]
    """Those that were asked for, in the order of the files."""
    total: int
    """How many rows there are in all."""
    counted: int
    """How many of all rows count."""

    @property
    def expected(self) -> int:
        """What total_experiments says."""
        return int(self.features["total_experiments"]) if self.features else 0

    @property
    def is_equal(self) -> bool:
        """Whether as many rows count as total_experiments says."""
        return self.counted == self.expected

    def as_json(self) -> dict[str, Any]:
        """The trace as one object."""
        return {
            "features": self.features,
            "run": self.load.run_id,
            "source": self.load.source,
            "rows": [asdict(row) for row in self.rows],
            "counted": self.counted,
            "equal": self.is_equal,
        }


def trace(
    connection: Connection,
    store: PartStore,
    load: Load,
    user_id: int,
    *,
    compound_id: int | None = None,
    memory_limit: str,
) -> Trace:
    """Finds the rows of the experiments of a user, and counts them again.

    Args:
        connection: of a user with the role features_reader or features_writer.
        store: has the parts of the load.
        load: whose features to trace.
        user_id: the user.
        compound_id: leaves out the rows without this compound; all are counted.
        memory_limit: what DuckDB may use.

    Raises:
        ConfigurationError: the user is in neither the features nor the rows.
        PartGone: a part is gone.
        StorageUnavailable, ConfigurationError: the store cannot be read.
        DatabaseUnavailable, DatabaseRefused: see database_errors.
    """
    found = trace_some(connection, store, load, user_id, memory_limit=memory_limit)
    if found.features is None and not found.total:
        raise ConfigurationError(
            f"run {load.run_id} has neither features nor experiments of user {user_id}: check the "
            "id, or name an earlier run with --run"
        )
    if compound_id is None:
        return found
    return replace(found, rows=[row for row in found.rows if _has(row, compound_id)])


def trace_some(
    connection: Connection,
    store: PartStore,
    load: Load,
    user_id: int,
    *,
    first: int = 0,
    most: int | None = None,
    memory_limit: str,
) -> Trace:
    """Finds some of the rows of the experiments of a user, and counts all; there may be none.

    Args:
        connection: as for trace.
        store: as for trace.
        load: as for trace.
        user_id: the user.
        first: how many rows to skip.
        most: how many rows to return at most; None for all.
        memory_limit: as for trace.

    Raises:
        PartGone, StorageUnavailable, ConfigurationError, DatabaseUnavailable, DatabaseRefused: as
            trace, but an unknown user is none.
    """
    parts = [part for part in load.parts if part["table"] == USER_EXPERIMENTS.name]
    with database_errors("trace a user", connection=connection), connection.transaction():
        query = read_sql("select_user_at").format(features=comma_separated(USER_FEATURES.columns))
        values = {"user_id": user_id, "moment": load.finished_at}
        features = next(iter(fetch(connection, query, values)), None)
        with _open_parts(store, load, parts, memory_limit) as (database, paths):
            found = read_parts(database, paths).filter(_is_of(user_id)).project("position")
            positions = np.sort(found.fetchnumpy()["position"])
            chosen = positions[first:][:most]
            rows = _find_rows(database, paths, parts, user_id, chosen)
        rules = _find_rules(connection, load, parts, chosen)
        is_all = len(chosen) == len(positions)
        rejected = len(rules) if is_all else _count_rejected(connection, load, parts, positions)
    shown = [replace(row, rules=rules.get(row.place, [])) for row in rows]
    return Trace(user_id, load, features, shown, len(positions), len(positions) - rejected)


@contextmanager
def _open_parts(
    store: PartStore, load: Load, parts: Sequence[Part], memory_limit: str
) -> Iterator[tuple[DuckDBPyConnection, list[Path]]]:
    """A database and the files of the parts, which are certain to be intact."""
    paths = store.paths(store.intact(parts, load.run_id), USER_EXPERIMENTS.name)
    with open_duckdb(memory_limit, store.cache / "spill") as database:
        try:
            yield database, paths
        except (IOException, OutOfMemoryException) as error:
            raise StorageUnavailable(
                f"the parts of run {load.run_id} cannot be read: {error}"
            ) from error


def _is_of(user_id: int) -> Expression:
    return ColumnExpression("user_id") == ConstantExpression(user_id)


def _find_rows(
    database: DuckDBPyConnection,
    paths: Sequence[Path],
    parts: Sequence[Part],
    user_id: int,
    positions: np.ndarray,
) -> list[TracedRow]:
    """The user's rows at successive positions; their rules are not looked up."""
    names = [name for column in _SHOWN for name in (column.name, column.text_name)]
    rows = []
    for file, at in groupby(positions.tolist(), file_number_of):
        lines = [line_of(position) for position in at]
        # DuckDB skips groups of rows by this, so a page of lines needs no second scan.
        is_chosen = ColumnExpression("line_number").between(
            ConstantExpression(lines[0]), ConstantExpression(lines[-1])
        )
        found = read_parquet(database, paths[file - 1]).filter(_is_of(user_id) & is_chosen)
        found = found.order("line_number").project("line_number", *map(ColumnExpression, names))
        rows += [
            _row(parts[file - 1], dict(zip(found.columns, values, strict=True)))
            for values in found.fetchall()
        ]
    return rows


def _row(part: Part, values: dict[str, Any]) -> TracedRow:
    def cell(name: str) -> Any:
        value = values[name]
        return values[USER_EXPERIMENTS.column(name).text_name] if value is None else value

    return TracedRow(
        file=part["name"],
        line=values["line_number"],
        experiment_id=cell("experiment_id"),
        compound_ids=cell("experiment_compound_ids"),
        run_time=cell("experiment_run_time"),
        rules=[],
    )


def _find_rules(
    connection: Connection, load: Load, parts: Sequence[Part], positions: np.ndarray
) -> dict[str, list[str]]:
    """By place, the rules for which rows were rejected; without those that count."""
    places = positions.tolist()
    values = {
        "run_id": load.run_id,
        "file_names": [parts[file_number_of(at) - 1]["name"] for at in places],
        "line_numbers": [line_of(at) for at in places],
    }
    rules: dict[str, list[str]] = defaultdict(list)
    for found in fetch(connection, read_sql("select_rejections"), values):
        rules[_place(found["file_name"], found["line_number"])].append(found["rule"])
    return rules


def _count_rejected(
    connection: Connection, load: Load, parts: Sequence[Part], positions: np.ndarray
) -> int:
    """How many of the rows were rejected."""
    if len(positions) <= _FEW_ROWS:
        return len(_find_rules(connection, load, parts, positions))
    lines = fetch(connection, read_sql("select_rejected_lines"), {"run_id": load.run_id})
    lines_of = {found["file_name"]: found["line_numbers"] for found in lines}
    return sum(
        int(np.isin(np.array(lines_of[part["name"]]) + position_of(number, 0), positions).sum())
        for number, part in enumerate(parts, start=1)
        if part["name"] in lines_of
    )


def _place(file: str, line: int) -> str:
    return f"{file}:{line}"


def _has(row: TracedRow, compound_id: int) -> bool:
    return isinstance(row.compound_ids, list) and compound_id in row.compound_ids
