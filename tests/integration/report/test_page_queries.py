"""The page's queries: complete pages, and correct figures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from experiment_features.errors import DatabaseUnavailable
from experiment_features.load.database import Connection, connect
from experiment_features.report import page_queries
from experiment_features.report.page_queries import Bar, IssuePlace
from experiment_features.report.paging import Cursor, Page, reading
from integration.report.walking import walk
from integration.running import load_experiments, make_drop, run_drop
from integration.servers import Database


@pytest.mark.parametrize(
    ("last", "width"), [(0, 1), (1, 1), (29, 1), (30, 2), (149, 5), (150, 10), (10**12, 5 * 10**10)]
)
def test_bar_width(last: int, width: int) -> None:
    """There are few bars, and their bounds are round numbers."""
    assert page_queries.bar_width(last) == width
    assert last // width < page_queries.BARS


def test_bars_count_every_user_once(database: Database, reader: Connection, tmp_path: Path) -> None:
    """The bars, including empty ones, count each user of the last load once."""
    with reading(reader):
        assert page_queries.count_users_by_experiments(reader) == []
    load_experiments(database, tmp_path, {1: 0, 2: 0, 3: 3, 4: 61})
    with reading(reader):
        bars = page_queries.count_users_by_experiments(reader)
    assert bars[:2] == [Bar(0, 4, 3), Bar(5, 9, 0)]
    assert bars[-1] == Bar(60, 64, 1)
    assert sum(bar.users for bar in bars) == 4
    load_experiments(database, tmp_path, {1: 1, 3: 2})
    with reading(reader):
        bars = page_queries.count_users_by_experiments(reader)
    assert bars == [Bar(0, 0, 0), Bar(1, 1, 1), Bar(2, 2, 1)]


def _find(find: Callable[..., Page], reader: Connection, cursor: Cursor | None) -> Page:
    return find(reader, cursor=cursor)


def test_pages_of_runs_are_complete(database: Database, tmp_path: Path) -> None:
    """Runs are listed latest first, even if some began at the same time."""
    load_experiments(database, tmp_path, {1: 1})
    database.query(
        "insert into features.pipeline_runs (run_id, trigger, source, source_files, parameters, "
        "definition_version, status, started_at, finished_at) select 'old ' || n, 'cli', 'x', '[]', "
        "'{}', 1, 'loaded', '2020-01-01'::date + n / 3, '2021-01-01' from generate_series(1, 120) n"
    )
    query = "select run_id from features.pipeline_runs order by started_at desc, run_id desc"
    expected = [run["run_id"] for run in database.query(query)]
    assert len(expected) == 121
    for find in (page_queries.find_runs, page_queries.find_loads):
        with connect(database.url("analyst")) as reader, reading(reader):
            found = walk(partial(_find, find, reader), lambda run: run["run_id"])
        assert found == expected


def test_run_and_its_files(database: Database, reader: Connection, tmp_path: Path) -> None:
    """A run has its counts of rows read and rejected; an unknown run is None."""
    drop = make_drop({1: "Ann", 2: ""}, [(1, "1", "10")])
    run_id = run_drop(database, drop.write(tmp_path / "drop"), max_rejected_percent=50)["run_id"]
    with reading(reader):
        run = page_queries.find_run(reader, run_id)
        files = page_queries.find_run_files(reader, run_id)
        assert page_queries.find_last_load(reader) == run
        assert page_queries.find_run(reader, "no such run") is None
    assert run
    assert (run["rows_read"], run["rejected_rows"], run["rejected_share"]) == (6, 1, 1 / 6)
    assert {file["table_name"]: file["rows_read"] for file in files} == {
        "users": 2,
        "compounds": 3,
        "user_experiments": 1,
    }


def test_rejected_try_of_a_loaded_run(database: Database, reader: Connection) -> None:
    """The entry of a rejected try is shown only if the run has no other."""
    enter = (
        "insert into features.pipeline_runs (run_id, trigger, source, source_files, parameters, "
        "definition_version, status, started_at, finished_at) "
        "values (%s, 'api', 'x', '[]', '{}', 1, %s, now(), now())"
    )
    database.query(enter, "one/rejected", "rejected")
    with reading(reader):
        run = page_queries.find_run(reader, "one")
    assert run
    assert run["status"] == "rejected"
    database.query(enter, "one", "loaded")
    with reading(reader):
        run = page_queries.find_run(reader, "one")
    assert run
    assert run["status"] == "loaded"


ISSUES = """
insert into features.data_issues (
    run_id, found_by, severity, table_name, file_name, line_number, rule, column_name, value,
    message, raw_row
)
select
    'run',
    'run',
    case when n % 2 = 0 then 'error' else 'warning' end,
    case when n % 4 < 2 then 'users' else 'compounds' end,
    (array['100%s.csv', 'it''s "a_\b".csv', '%(rows)s'])[1 + n % 3],
    n,
    'rule ' || n % 2,
    'x',
    'secret',
    'message ' || n % 2,
    '{}'
from generate_series(1, 700) as n
"""
"""Issues of one run in two tables, three files and two rules."""


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"table_name": "users"},
        {"table_name": "users", "rule": "rule 0"},
        {"table_name": "users", "file_name": 'it\'s "a_\\b".csv'},
        {"table_name": "users", "rule": "rule 0", "file_name": "100%s.csv"},
    ],
    ids=lambda filters: " ".join(filters) or "all",
)
@pytest.mark.parametrize("status", ["loaded", "rejected"])
def test_pages_of_issues_are_complete(
    status: str, filters: dict[str, str], database: Database
) -> None:
    """Every issue that matches the filters is on exactly one page, in the order of the drop."""
    database.query(
        "insert into features.pipeline_runs (run_id, trigger, source, source_files, parameters, "
        "definition_version, status, started_at, finished_at) "
        "values ('run', 'cli', 'x', '[]', '{}', 1, %s, now(), now())",
        status,
    )
    database.query(ISSUES)
    if status == "rejected":
        database.query("update features.data_issues set closed_by = 'run'")
    with connect(database.url("analyst")) as reader, reading(reader):
        found = walk(
            lambda cursor: page_queries.find_issues(reader, "run", cursor=cursor, **filters),
            lambda issue: IssuePlace(*(issue[name] for name in IssuePlace._fields)),
        )
        rules = page_queries.count_issues(reader, "run")
    query = "select table_name, file_name, line_number, rule from features.data_issues"
    every = [IssuePlace(**row) for row in database.query(query)]
    expected = [i for i in every if all(getattr(i, k) == v for k, v in filters.items())]
    assert found == sorted(expected)
    assert sum(rule["issues"] for rule in rules) == 700
    assert [rule["severity"] for rule in rules] == ["error"] * 6 + ["warning"] * 6
    assert {rule["message"] for rule in rules if rule["rule"] == "rule 1"} == {"message 1"}


def test_reading_changes_nothing(database: Database) -> None:
    """Even a role that may write gets a read-only transaction."""
    with (
        connect(database.url("postgres")) as owner,
        pytest.raises(DatabaseUnavailable, match="read-only transaction"),
        reading(owner),
    ):
        owner.execute("delete from features.user_features")


def test_forgotten_transactions_end(reader: Connection) -> None:
    """The database ends the session of a reader that forgets its transaction."""
    with reading(reader):
        (row,) = reader.execute("show idle_in_transaction_session_timeout").fetchall()
    assert row == ("1min",)
