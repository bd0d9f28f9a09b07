"""Trace: from a user's features to the lines that they are made of.

Nothing is stored for it: it is a scan of one column of the parts of the experiments.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from duckdb import ColumnExpression, ConstantExpression

from experiment_features.contract import USER_EXPERIMENTS, file_number_of, line_of
from experiment_features.definitions import USER_FEATURES
from experiment_features.drop.files import Part
from experiment_features.engines.duckdb_engine import open_duckdb, read_parts
from experiment_features.errors import ConfigurationError
from experiment_features.load.database import Connection, comma_separated, database_errors
from experiment_features.load.loads import Load
from experiment_features.report.paging import Row, fetch, read_sql
from experiment_features.store.parts import PartStore


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
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Trace:
    """The features of a user in a load, and every row behind them."""

    user_id: int
    load: Load
    features: Row | None
    """None for a user who had none: the drop had no valid row of the user."""
    rows: list[TracedRow]
    """Those that were asked for, in the order of the files."""
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
    rows = find_rows(store, load, user_id, memory_limit=memory_limit)
    with database_errors("trace a user", connection=connection), connection.transaction():
        query = read_sql("select_user_at").format(features=comma_separated(USER_FEATURES.columns))
        values = {"user_id": user_id, "moment": load.finished_at}
        features = next(iter(fetch(connection, query, values)), None)
        rows = find_rejections(connection, load, rows)
    if features is None and not rows:
        raise ConfigurationError(
            f"run {load.run_id} has neither features nor experiments of user {user_id}: check the "
            "id, or name an earlier run with --run"
        )
    shown = [row for row in rows if compound_id is None or _has(row, compound_id)]
    return Trace(user_id, load, features, shown, sum(not row.rules for row in rows))


def find_rows(
    store: PartStore,
    load: Load,
    user_id: int,
    *,
    memory_limit: str,
    first: int = 0,
    most: int | None = None,
) -> list[TracedRow]:
    """The rows of the experiments of a user, in the order of the files; rules are not looked up.

    Args:
        store: has the parts of the load.
        load: what they were loaded by.
        user_id: the user.
        memory_limit: what DuckDB may use.
        first: how many rows to skip.
        most: how many rows to return at most; None for all.

    Raises:
        ConfigurationError: a part is gone.
        StorageUnavailable: the store cannot be read.
    """
    table = USER_EXPERIMENTS
    parts = store.intact([part for part in load.parts if part["table"] == table.name], load.run_id)
    names = dict.fromkeys(name for c in table.columns for name in (c.name, c.text_name))
    is_of_user = ColumnExpression("user_id") == ConstantExpression(user_id)
    with open_duckdb(memory_limit, store.cache / "spill") as database:
        found = read_parts(database, store.paths(parts, table.name)).filter(is_of_user)
        found = found.project("position", *map(ColumnExpression, names)).order("position")
        limited = found if most is None else found.limit(most, first)
        return [
            _row(parts, dict(zip(limited.columns, values, strict=True)))
            for values in limited.fetchall()
        ]


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


def find_rejections(
    connection: Connection, load: Load, rows: Sequence[TracedRow]
) -> list[TracedRow]:
    """The rows with the rules for which they were rejected.

    Args:
        connection: in a transaction.
        load: the load that judged the rows.
        rows: of find_rows.
    """
    values = {
        "run_id": load.run_id,
        "file_names": [row.file for row in rows],
        "line_numbers": [row.line for row in rows],
    }
    rules: dict[tuple[str, int], list[str]] = defaultdict(list)
    for found in fetch(connection, read_sql("select_rejections"), values):
        rules[found["file_name"], found["line_number"]].append(found["rule"])
    return [replace(row, rules=rules[row.file, row.line]) for row in rows]


def _has(row: TracedRow, compound_id: int) -> bool:
    return isinstance(row.compound_ids, list) and compound_id in row.compound_ids
