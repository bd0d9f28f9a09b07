"""The page's queries of runs and data quality, and of the figures of the last load.

Every query of the page but the download uses an index and returns a limited number of rows, however
large the tables are. All are run as the role features_reader.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import sql

from experiment_features.contract import TABLES
from experiment_features.load import ledger
from experiment_features.load.database import Connection, comma_separated
from experiment_features.load.views import READABLE_CELLS
from experiment_features.report.feature_queries import NAME_LENGTH
from experiment_features.report.paging import (
    CHART_ROWS,
    PAGE_ROWS,
    Cursor,
    Page,
    Row,
    fetch,
    read_batches,
    read_page,
    read_sql,
)

BARS = 30

_RUN_KEYS = (sql.Identifier("runs", "started_at"), sql.Identifier("runs", "run_id"))


class IssuePlace(NamedTuple):
    """What identifies an issue within its run."""

    table_name: str
    file_name: str
    line_number: int
    rule: str


@dataclass(frozen=True)
class Bar:
    """How many users have at least ``first`` and at most ``last`` experiments."""

    first: int
    last: int
    users: int


def find_last_load(connection: Connection) -> Row | None:
    """The run whose features are in the database, or None before the first load."""
    last = ledger.find_last_load(connection)
    return find_run(connection, last.result.run_id) if last else None


def count_users_by_experiments(connection: Connection) -> list[Bar]:
    """Users by number of experiments, from 0 up, in at most BARS bars of equal width."""
    counts = fetch(connection, read_sql("select_users_by_total_experiments"), {})
    if not counts:
        return []
    last = max(counts[-1]["total_experiments"], 1)
    width = bar_width(last)
    users: dict[int, int] = {}
    for count in counts:
        bar = count["total_experiments"] // width
        users[bar] = users.get(bar, 0) + count["users"]
    return [
        Bar(bar * width, bar * width + width - 1, users.get(bar, 0))
        for bar in range(last // width + 1)
    ]


def bar_width(last: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that needs at most BARS bars from 0 to last."""
    magnitude = 1
    while True:
        for step in (1, 2, 5):
            if last // (step * magnitude) < BARS:
                return step * magnitude
        magnitude *= 10


def find_top_compounds(connection: Connection) -> list[Row]:
    """The ten compounds in the most experiments; ties are in the order of compound_id."""
    return fetch(connection, read_sql("select_top_compounds"), {"rows": 10, "length": NAME_LENGTH})


def find_runs(
    connection: Connection, *, cursor: Cursor | None = None, rows: int = PAGE_ROWS
) -> Page:
    """A page of the ledger, the latest run first; ``cursor`` is a run_id."""
    values = {"run_id": None}
    return read_page(connection, "page_runs", _RUN_KEYS, values, cursor, descending=True, rows=rows)


def find_loads(connection: Connection, *, cursor: Cursor | None = None) -> Page:
    """A chart of runs that loaded or were rejected, the latest first; ``cursor`` is a run_id."""
    return read_page(
        connection, "page_loads", _RUN_KEYS, {}, cursor, descending=True, rows=CHART_ROWS
    )


def find_run(connection: Connection, run_id: str) -> Row | None:
    """A run's entry in the ledger, or else that of its rejected attempt (``<run_id>/rejected``)."""
    page = read_page(connection, "page_runs", _RUN_KEYS, {"run_id": run_id}, None)
    return min(page.rows, key=lambda run: len(run["run_id"]), default=None)


def find_run_files(connection: Connection, run_id: str) -> list[Row]:
    """The files that a run read."""
    values = {"run_id": run_id, "rows": PAGE_ROWS}
    return fetch(connection, read_sql("select_run_files"), values)


def count_issues(connection: Connection, run_id: str) -> list[Row]:
    """The rules that a run's issues break, by table and file, errors first."""
    values = {"run_id": run_id, "rows": 2 * PAGE_ROWS}
    query = read_sql("count_issues").format(is_of_run=_is_of_run(connection, run_id))
    return fetch(connection, query, values)


def find_issues(
    connection: Connection,
    run_id: str,
    *,
    table_name: str | None = None,
    rule: str | None = None,
    file_name: str | None = None,
    cursor: Cursor | None = None,
) -> Page:
    """A page of a run's issues in the order of the drop; ``cursor`` is an IssuePlace."""
    filters = {"table_name": table_name, "rule": rule, "file_name": file_name}
    # Columns that are filtered by are left out, so that the filter's index gives the order.
    names = [name for name in IssuePlace._fields if filters.get(name) is None]
    keys = tuple(map(sql.Identifier, names))
    values: dict[str, Any] = {"run_id": run_id, **filters}
    is_beyond: sql.Composable = sql.SQL("true")
    if cursor:
        values |= {f"cursor_{name}": value for name, value in cursor.row._asdict().items()}
        is_beyond = sql.SQL("({}) {} ({})").format(
            sql.SQL(", ").join(keys),
            sql.SQL("<" if cursor.backwards else ">"),
            sql.SQL(", ").join(sql.Placeholder(f"cursor_{name}") for name in names),
        )
    return read_page(
        connection,
        "page_issues",
        keys,
        values,
        cursor,
        is_beyond=is_beyond,
        place=comma_separated(IssuePlace._fields),
        is_of_run=_is_of_run(connection, run_id),
    )


def read_issues(
    connection: Connection,
    run_id: str,
    *,
    has_rows: bool,
    table_name: str | None = None,
    rule: str | None = None,
    file_name: str | None = None,
) -> Generator[list[tuple[Any, ...]], None, None]:
    """The same issues, in batches; the first batch is the column names.

    ``has_rows`` adds the value and the whole row, which only stewards may see. Without it, there
    are those cells of an experiment that are numbers.
    """
    names = ("severity", *IssuePlace._fields, "row_id", "column_name", "message", "run_id")
    columns: list[sql.Composable] = [sql.Identifier(name) for name in names]
    if has_rows:
        cells = dict.fromkeys(name for table in TABLES for name in table.column_names)
        columns.append(sql.Identifier("value"))
        columns += [
            sql.SQL("raw_row ->> {} as {}").format(sql.Literal(name), sql.Identifier(name))
            for name in (*cells, "line")
        ]
    else:
        columns += map(sql.Identifier, READABLE_CELLS)
    query = read_sql("export_issues").format(
        columns=sql.SQL(", ").join(columns),
        issues=sql.Identifier("features", "data_issues" if has_rows else "reported_issues"),
        is_of_run=_is_of_run(connection, run_id),
        order=comma_separated(IssuePlace._fields),
    )
    values = {"run_id": run_id, "table_name": table_name, "rule": rule, "file_name": file_name}
    return read_batches(connection, query, values)


def find_message(connection: Connection, run_id: str) -> str | None:
    """Why a run failed; only stewards may read it."""
    (found,) = fetch(connection, read_sql("select_message"), {"run_id": run_id}) or [{}]
    return found.get("message")


def _is_of_run(connection: Connection, run_id: str) -> sql.SQL:
    """Whether an issue is a run's: the last load's all hold, others found theirs."""
    last = ledger.find_last_load(connection)
    is_last = last and last.result.run_id == run_id
    return sql.SQL("closed_by is null") if is_last else sql.SQL("found_by = %(run_id)s")
