"""Trace: from a user's features to the lines that they are made of.

Nothing is stored for it: it is a scan of one column of the parts of the experiments.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from duckdb import (
    ColumnExpression,
    ConstantExpression,
    DuckDBPyRelation,
    IOException,
    OutOfMemoryException,
)

from experiment_features.contract import USER_EXPERIMENTS, file_number_of, line_of
from experiment_features.definitions import USER_FEATURES
from experiment_features.drop.files import Part
from experiment_features.engines.duckdb_engine import open_duckdb, read_parts
from experiment_features.errors import ConfigurationError, StorageUnavailable
from experiment_features.load.database import Connection, comma_separated, database_errors
from experiment_features.load.loads import Load
from experiment_features.report.paging import Row, fetch, read_sql
from experiment_features.store.parts import PartStore

_BATCH_ROWS = 100_000
"""How many rows are counted at a time: a user may have millions."""


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
        ConfigurationError: the user is in neither the features nor the rows, or a part is gone.
        StorageUnavailable: the store cannot be read.
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
        ConfigurationError: a part is gone.
        StorageUnavailable, DatabaseUnavailable, DatabaseRefused: as trace.
    """
    parts = [part for part in load.parts if part["table"] == USER_EXPERIMENTS.name]
    with database_errors("trace a user", connection=connection), connection.transaction():
        query = read_sql("select_user_at").format(features=comma_separated(USER_FEATURES.columns))
        values = {"user_id": user_id, "moment": load.finished_at}
        features = next(iter(fetch(connection, query, values)), None)
        with _rows_of(store, load, parts, user_id, memory_limit) as found:
            positions = np.sort(found.project("position").fetchnumpy()["position"])
            rows = _find_rows(found, parts, positions[first:][:most])
        rejected = 0
        for start in range(0, len(positions), _BATCH_ROWS):
            rules = _find_rules(connection, load, parts, positions[start:][:_BATCH_ROWS].tolist())
            rejected += len(rules)
            for place in rows.keys() & rules.keys():
                rows[place] = replace(rows[place], rules=rules[place])
    total = len(positions)
    return Trace(user_id, load, features, list(rows.values()), total, total - rejected)


@contextmanager
def _rows_of(
    store: PartStore, load: Load, parts: Sequence[Part], user_id: int, memory_limit: str
) -> Iterator[DuckDBPyRelation]:
    """The rows of the experiments of a user, as the parts have them, with their positions."""
    paths = store.paths(store.intact(parts, load.run_id), USER_EXPERIMENTS.name)
    is_of_user = ColumnExpression("user_id") == ConstantExpression(user_id)
    with open_duckdb(memory_limit, store.cache / "spill") as database:
        try:
            yield read_parts(database, paths).filter(is_of_user)
        except (IOException, OutOfMemoryException) as error:
            raise StorageUnavailable(
                f"the parts of run {load.run_id} cannot be read: {error}"
            ) from error


def _find_rows(
    found: DuckDBPyRelation, parts: Sequence[Part], positions: np.ndarray
) -> dict[str, TracedRow]:
    """By place, the rows at successive positions; their rules are not looked up."""
    if not len(positions):
        return {}
    first, last = (ConstantExpression(int(at)) for at in positions[[0, -1]])
    position = ColumnExpression("position")
    names = dict.fromkeys(
        name for column in USER_EXPERIMENTS.columns for name in (column.name, column.text_name)
    )
    chosen = found.filter(position.between(first, last)).order("position")
    chosen = chosen.project(position, *map(ColumnExpression, names))
    rows = [_row(parts, dict(zip(chosen.columns, row, strict=True))) for row in chosen.fetchall()]
    return {row.place: row for row in rows}


def _row(parts: Sequence[Part], values: dict[str, Any]) -> TracedRow:
    def cell(name: str) -> Any:
        value = values[name]
        return values[USER_EXPERIMENTS.column(name).text_name] if value is None else value

    return TracedRow(
        file=parts[file_number_of(values["position"]) - 1]["name"],
        line=line_of(values["position"]),
        experiment_id=cell("experiment_id"),
        compound_ids=cell("experiment_compound_ids"),
        run_time=cell("experiment_run_time"),
        rules=[],
    )


def _find_rules(
    connection: Connection, load: Load, parts: Sequence[Part], positions: Sequence[int]
) -> dict[str, list[str]]:
    """By place, the rules for which rows were rejected; without those that count."""
    values = {
        "run_id": load.run_id,
        "file_names": [parts[file_number_of(at) - 1]["name"] for at in positions],
        "line_numbers": [line_of(at) for at in positions],
    }
    rules: dict[str, list[str]] = defaultdict(list)
    for found in fetch(connection, read_sql("select_rejections"), values):
        rules[_place(found["file_name"], found["line_number"])].append(found["rule"])
    return rules


def _place(file: str, line: int) -> str:
    return f"{file}:{line}"


def _has(row: TracedRow, compound_id: int) -> bool:
    return isinstance(row.compound_ids, list) and compound_id in row.compound_ids
