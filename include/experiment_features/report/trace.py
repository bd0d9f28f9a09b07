"""Trace: from a user's features to the lines that they are made of.

Nothing is stored for it: it is a scan of one column of the parts of the experiments.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import IOException, OutOfMemoryException

from experiment_features.contract import (
    DELETIONS,
    USER_EXPERIMENTS,
    file_number_of,
    line_of,
    position_of,
)
from experiment_features.definitions import USER_FEATURES
from experiment_features.drop.files import Layer, parts_of, with_parts
from experiment_features.engines.duckdb_engine import DuckDBEngine
from experiment_features.engines.engine import Frame
from experiment_features.errors import ConfigurationError, StorageUnavailable
from experiment_features.load.database import Connection, comma_separated, database_errors
from experiment_features.load.loads import Load
from experiment_features.report.paging import Row, fetch, read_sql
from experiment_features.store.layers import Layers
from experiment_features.store.parts import PartStore

_NAMES = [
    name
    for column in map(
        USER_EXPERIMENTS.column,
        ("experiment_id", "experiment_compound_ids", "experiment_run_time"),
    )
    for name in (column.name, column.text_name)
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
    source: str | None = None
    """The folder of the drop that brought the row, if that is not the one of the load itself."""

    def as_json(self) -> dict[str, Any]:
        """The row as one object; its source only if it is not the load's own."""
        row = asdict(self)
        return row if self.source else {name: row[name] for name in row if name != "source"}

    @property
    def place(self) -> str:
        """The file and line, as editors take them."""
        folder = f"{self.source}/" if self.source else ""
        return f"{folder}{self.file}:{self.line}"


@dataclass(frozen=True)
class Trace:
    """The features of a user in a load, and every row behind them."""

    user_id: int
    load: Load
    features: Row | None
    """None for a user who had none: the drop had no valid row of the user."""
    rows: list[TracedRow]
    """Those that were asked for, in the order of the files."""
    found: int
    """How many rows there are of those that were asked for."""
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
            "rows": [row.as_json() for row in self.rows],
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
    found = trace_some(
        connection, store, load, user_id, compound_id=compound_id, memory_limit=memory_limit
    )
    if found.features is None and not found.total:
        raise ConfigurationError(
            f"run {load.run_id} has neither features nor experiments of user {user_id}: check the "
            "id, or name an earlier run with --run"
        )
    return found


def trace_some(
    connection: Connection,
    store: PartStore,
    load: Load,
    user_id: int,
    *,
    compound_id: int | None = None,
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
        compound_id: as for trace.
        first: how many rows to skip.
        most: how many rows to return at most; None for all.
        memory_limit: as for trace.

    Raises:
        PartGone, StorageUnavailable, ConfigurationError, DatabaseUnavailable, DatabaseRefused: as
            trace, but an unknown user is none.
    """
    layers = _layers_of_experiments(load)
    files = _files_of(load, layers)
    with database_errors("trace a user", connection=connection), connection.transaction():
        query = read_sql("select_user_at").format(features=comma_separated(USER_FEATURES.columns))
        values = {"user_id": user_id, "moment": load.finished_at}
        features = next(iter(fetch(connection, query, values)), None)
        with _open_parts(store, load, layers, memory_limit) as (engine, opened):
            rows = opened.rows(USER_EXPERIMENTS, engine).filter(nw.col("user_id") == user_id)
            positions = wanted = _positions_of(rows)
            if compound_id is not None:
                compounds = nw.col("experiment_compound_ids")
                wanted = _positions_of(rows.filter(compounds.list.contains(compound_id)))
            chosen = wanted[first:][:most]
            paths = opened.paths(USER_EXPERIMENTS)
            found = _find_rows(engine, paths, files, user_id, chosen)
        rules = _find_rules(connection, load, files, chosen)
        is_all = len(chosen) == len(positions)
        rejected = len(rules if is_all else _find_rejected(connection, load, files, positions))
    shown = [
        replace(row, rules=rules.get(position, []))
        for position, row in zip(chosen.tolist(), found, strict=True)
    ]
    total = len(positions)
    return Trace(user_id, load, features, shown, len(wanted), total, total - rejected)


def _positions_of(rows: Frame) -> np.ndarray:
    """The positions of rows, in their order."""
    return np.sort(rows.select("position").to_native().fetchnumpy()["position"])


def count_compounds(
    connection: Connection, store: PartStore, load: Load, user_id: int, *, memory_limit: str
) -> list[tuple[int, int]]:
    """In how many of a user's experiments that count each compound is: the most first, then by id.

    Args and raises: as for trace_some.
    """
    layers = _layers_of_experiments(load)
    files = _files_of(load, layers)
    compounds = "experiment_compound_ids"
    with database_errors("count compounds", connection=connection), connection.transaction():
        with _open_parts(store, load, layers, memory_limit) as (engine, opened):
            rows = opened.rows(USER_EXPERIMENTS, engine).filter(nw.col("user_id") == user_id)
            found = rows.select("position", compounds).to_native().to_arrow_table()
        positions = found["position"].to_numpy()
        rejected = _find_rejected(connection, load, files, positions)
    lists = found[compounds].filter(pa.array(~np.isin(positions, rejected))).combine_chunks()
    # Once per experiment, however often its list repeats a compound.
    pairs = pa.table({"row": pc.list_parent_indices(lists), "id": pc.list_flatten(lists)})
    counted = (
        pairs.group_by(["row", "id"]).aggregate([]).group_by("id").aggregate([("row", "count")])
    )
    ordered = counted.sort_by([("row_count", "descending"), ("id", "ascending")])
    return list(zip(ordered["id"].to_pylist(), ordered["row_count"].to_pylist(), strict=True))


class _File(NamedTuple):
    """A file of experiments."""

    run_id: str
    """The run whose drop it was in."""
    source: str | None
    """As of a TracedRow."""
    name: str


def _files_of(load: Load, layers: Sequence[Layer]) -> list[_File]:
    """The files of experiments, in the order of their numbers."""
    return [
        _File(
            layer["run_id"],
            None if layer["source"] == load.source else layer["source"],
            part["name"],
        )
        for layer in layers
        for part in layer["parts"]
        if part["table"] == USER_EXPERIMENTS.name
    ]


def _layers_of_experiments(load: Load) -> list[Layer]:
    """The layers of a load with only the parts that say which experiments are in force."""
    tables = (USER_EXPERIMENTS.name, DELETIONS[USER_EXPERIMENTS.name].name)
    return [
        with_parts(layer, [part for part in layer["parts"] if part["table"] in tables])
        for layer in load.layers
    ]


@contextmanager
def _open_parts(
    store: PartStore, load: Load, layers: Sequence[Layer], memory_limit: str
) -> Iterator[tuple[DuckDBEngine, Layers]]:
    """An engine, and the layers with their parts, which are certain to be intact."""
    store.intact(parts_of(layers), load.run_id)
    try:
        with closing(DuckDBEngine(memory_limit, store.cache / "spill")) as engine:
            yield engine, Layers(layers, store)
    except (IOException, OutOfMemoryException) as error:
        raise StorageUnavailable(
            f"the parts of run {load.run_id} cannot be read: {error}"
        ) from error


def _find_rows(
    engine: DuckDBEngine,
    paths: Sequence[Path],
    files: Sequence[_File],
    user_id: int,
    positions: np.ndarray,
) -> list[TracedRow]:
    """The user's rows at successive positions; their rules are not looked up."""
    rows = []
    for number, at in groupby(positions.tolist(), file_number_of):
        lines = set(map(line_of, at))
        # DuckDB skips groups of rows by this, so a page of lines needs no second scan.
        is_chosen = nw.col("line_number").is_between(min(lines), max(lines))
        found = engine.read(paths[number - 1]).filter(nw.col("user_id") == user_id, is_chosen)
        values = found.select("line_number", *_NAMES).sort("line_number").to_native()
        names = ("line_number", *_NAMES)
        rows += [
            _row(files[number - 1], dict(zip(names, row, strict=True)))
            for row in values.fetchall()
            if row[0] in lines
        ]
    return rows


def _row(file: _File, values: dict[str, Any]) -> TracedRow:
    def cell(name: str) -> Any:
        value = values[name]
        return values[USER_EXPERIMENTS.column(name).text_name] if value is None else value

    return TracedRow(
        file=file.name,
        line=values["line_number"],
        experiment_id=cell("experiment_id"),
        compound_ids=cell("experiment_compound_ids"),
        run_time=cell("experiment_run_time"),
        rules=[],
        source=file.source,
    )


def _find_rules(
    connection: Connection, load: Load, files: Sequence[_File], positions: np.ndarray
) -> dict[int, list[str]]:
    """By position, the rules for which rows were rejected; without those that count."""
    places = positions.tolist()
    values = {
        "moment": load.finished_at,
        "positions": places,
        "run_ids": [files[file_number_of(at) - 1].run_id for at in places],
        "file_names": [files[file_number_of(at) - 1].name for at in places],
        "line_numbers": [line_of(at) for at in places],
    }
    rules: dict[int, list[str]] = defaultdict(list)
    for found in fetch(connection, read_sql("select_rejections"), values):
        rules[found["position"]].append(found["rule"])
    return rules


def _find_rejected(
    connection: Connection, load: Load, files: Sequence[_File], positions: np.ndarray
) -> list[int]:
    """Those of the positions whose rows were rejected."""
    if len(positions) <= _FEW_ROWS:
        return list(_find_rules(connection, load, files, positions))
    values = {"moment": load.finished_at, "run_ids": [layer["run_id"] for layer in load.layers]}
    lines = fetch(connection, read_sql("select_rejected_lines"), values)
    lines_of = {(found["run_id"], found["file_name"]): found["line_numbers"] for found in lines}
    return [
        position
        for number, file in enumerate(files, start=1)
        if (place := (file.run_id, file.name)) in lines_of
        for position in np.intersect1d(
            np.array(lines_of[place]) + position_of(number, 0), positions
        ).tolist()
    ]
