"""History: exact periods without gaps or overlaps, and the features at any time."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from cases import cases
from comparison import USER_COLUMNS
from experiment_features.definitions import RELATIONS, USER_FEATURES, Relation
from integration.running import features_of, load_experiments
from integration.servers import VERSIONS, Database, Server

ROOT = Path(__file__).parents[3]

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)

every_relation = pytest.mark.parametrize(
    "relation", [pytest.param(relation, id=relation.name) for relation in RELATIONS]
)

Experiments = dict[int, int]
"""The number of experiments of each user, and of the compound with the same id, in a drop."""


def periods_of(database: Database, relation: Relation = USER_FEATURES) -> list[dict[str, Any]]:
    """Returns all periods, ordered by id and time."""
    query = sql.SQL(
        "select {} as id, total_experiments, valid_from, valid_to, run_id "
        "from features.{} order by id, valid_from"
    )
    return database.query(
        query.format(sql.Identifier(relation.key), sql.Identifier(relation.history))
    )


@every_version
@every_relation
def test_what_leaves_and_returns_has_exact_periods(
    relation: Relation, database: Database, tmp_path: Path
) -> None:
    """Each period has exact bounds and belongs to the run that began it."""
    drops: list[Experiments] = [{1: 1, 2: 5}, {1: 2, 2: 5}, {2: 5}, {1: 2, 2: 5}, {1: 2}]
    runs = [load_experiments(database, tmp_path, drop, drop) for drop in drops]
    periods = periods_of(database, relation)
    first_of = {row["run_id"]: row["valid_from"] for row in periods}
    begun = [first_of[run_id] for run_id in (runs[0], runs[1], runs[3])]
    (first_end, left, second_left) = sorted(
        row["valid_to"] for row in features_of(database, relation.past)
    )
    assert first_end == begun[1]
    assert [tuple(row.values()) for row in periods] == [
        (1, 1, begun[0], begun[1], runs[0]),
        (1, 2, begun[1], left, runs[1]),
        (1, 2, begun[2], None, runs[3]),
        (2, 5, begun[0], second_left, runs[0]),
    ]
    assert begun[1] < left < begun[2] < second_left


@every_version
def test_the_features_at_any_time(database: Database, tmp_path: Path) -> None:
    """A period includes its start and excludes its end."""
    for drop in ({1: 1, 2: 2}, {1: 3, 2: 2}, {2: 2}):
        load_experiments(database, tmp_path, drop)
    moment = timedelta(microseconds=1)
    first, second, third = sorted(
        {row["valid_from"] for row in periods_of(database)}
        | {row["valid_to"] for row in periods_of(database) if row["valid_to"]}
    )
    stood = {
        when: [
            (row["user_id"], row["total_experiments"])
            for row in database.query(
                "select * from features.user_features_as_of(%s) order by user_id", when
            )
        ]
        for when in (first - moment, first, second - moment, second, third - moment, third)
    }
    assert list(stood.values()) == [
        [],
        [(1, 1), (2, 2)],
        [(1, 1), (2, 2)],
        [(1, 3), (2, 2)],
        [(1, 3), (2, 2)],
        [(2, 2)],
    ]


@every_version
def test_the_features_of_now_after_a_clock_that_was_ahead(
    database: Database, tmp_path: Path
) -> None:
    """They are the current ones, each user once, also after a load with the correct clock."""
    now = "select * from features.user_features_as_of(now()) order by user_id"
    load_experiments(database, tmp_path, {1: 1, 2: 2, 3: 3})
    ahead = timedelta(days=365)
    database.query("update features.user_features set updated_at = updated_at + %s", ahead)
    database.query("update features.pipeline_runs set finished_at = finished_at + %s", ahead)
    for drop in ({1: 1, 2: 2, 3: 3}, {1: 1, 2: 4}, {2: 5, 3: 1}):
        load_experiments(database, tmp_path, drop)
        stood = database.query(now)
        assert {row["user_id"]: row["total_experiments"] for row in stood} == drop
        assert len(stood) == len(drop)
        assert_history_is_exact(database)
    assert (
        database.query("select * from features.user_features_as_of(now() - interval '1 s')") == []
    )


@given(
    drops=st.lists(
        st.dictionaries(st.integers(1, 4), st.integers(0, 2), max_size=4), min_size=2, max_size=6
    )
)
@settings(
    max_examples=cases(20),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_of_drops_leaves_an_exact_history(
    drops: list[Experiments],
    server_of: Callable[[str], Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The features as of each load are those that it loaded, even after later loads."""
    folder = tmp_path_factory.mktemp("drops")
    with server_of("18").database("history") as database:
        loaded: list[tuple[Any, list[dict[str, Any]]]] = []
        for drop in drops:
            load_experiments(database, folder, drop, drop)
            users = features_of(database)
            assert {row["user_id"]: row["total_experiments"] for row in users} == drop
            loaded.append((database.value("select clock_timestamp()"), users))
            for relation in RELATIONS:
                assert_history_is_exact(database, relation)
        for relation in RELATIONS:
            assert follow_periods(database, relation) == expected_periods(drops)
        for moment, users in loaded:
            stood = database.query(
                "select * from features.user_features_as_of(%s) order by user_id", moment
            )
            assert [pick(row, *USER_COLUMNS, "user_id", "run_id") for row in stood] == [
                pick(row, *USER_COLUMNS, "user_id", "run_id") for row in users
            ]


def pick(row: dict[str, Any], *names: str) -> dict[str, Any]:
    """Returns some columns of a row."""
    return {name: row[name] for name in names}


def assert_history_is_exact(database: Database, relation: Relation = USER_FEATURES) -> None:
    """Asserts that periods do not overlap and that the current ones match the relation."""
    periods = periods_of(database, relation)
    for before, after in pairwise(periods):
        if before["id"] == after["id"]:
            assert before["valid_from"] < before["valid_to"] <= after["valid_from"]
    current = [row for row in periods if row["valid_to"] is None]
    assert [(row["id"], row["total_experiments"], row["run_id"]) for row in current] == [
        (row[relation.key], row["total_experiments"], row["run_id"])
        for row in features_of(database, relation.name)
    ]


def follow_periods(database: Database, relation: Relation) -> list[tuple[int, int, bool]]:
    """Returns id, experiments, and whether the next period of that id follows immediately."""
    periods = periods_of(database, relation)
    begins = {(row["id"], row["valid_from"]) for row in periods}
    return [
        (row["id"], row["total_experiments"], (row["id"], row["valid_to"]) in begins)
        for row in periods
    ]


def expected_periods(drops: list[Experiments]) -> list[tuple[int, int, bool]]:
    """Returns id, experiments, and whether the next period of that id follows immediately."""
    periods = []
    for each in range(1, 5):
        numbers = [drop.get(each) for drop in drops]
        changes = [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]
        for number, following in zip(changes, [*changes[1:], None], strict=True):
            if number is not None:
                periods.append((each, number, following is not None))
    return periods


@every_version
@pytest.mark.parametrize(
    ("begin", "end", "constraint"),
    [
        ("2026-01-01 00:00:01", "2026-01-03", "periods_do_not_overlap"),
        ("2026-01-01 12:00", "2026-01-01 13:00", "periods_do_not_overlap"),
        ("2025-12-31", "2026-01-01 00:00:00.000001", "periods_do_not_overlap"),
        ("2026-01-05", "2026-01-05", "period_is_not_empty"),
        ("2026-01-06", "2026-01-05", "period_is_not_empty"),
    ],
)
def test_overlapping_periods_are_impossible(
    begin: str, end: str, constraint: str, database: Database
) -> None:
    """PostgreSQL refuses overlapping and empty periods, but adjacent ones are fine."""
    insert = (
        "insert into features.user_features_past "
        "(user_id, user_name, total_experiments, run_id, valid_from, valid_to) "
        "values (%s, 'Ann', 0, 'x', %s, %s)"
    )
    user_id = 2**63 - 1
    database.query(insert, user_id, "2026-01-01", "2026-01-02")
    database.query(insert, user_id, "2026-01-02", "2026-01-03")
    database.query(insert, user_id - 1, "2026-01-01", "2026-01-03")
    with pytest.raises(
        (psycopg.errors.ExclusionViolation, psycopg.errors.CheckViolation)
    ) as caught:
        database.query(insert, user_id, begin, end)
    assert caught.value.diag.constraint_name == constraint


INSERT = (
    "insert into features.user_features_past "
    "(user_id, user_name, total_experiments, run_id, valid_from, valid_to) values "
)
PERIOD = f"{INSERT} (1, 'Ann', 0, 'x', '2026-01-01', '2026-01-05')"
LONGER = f"{INSERT} (1, 'Ann', 0, 'x', '2026-01-04', '2026-01-09')"
"""Another period of the same user, which overlaps the first."""


@every_version
@pytest.mark.parametrize(
    "statement",
    [
        f"{LONGER}, (2, 'Ann', 0, 'x', '2026-01-04', '2026-01-09')",
        f"{LONGER.replace('(1,', '(3,')}, (3, 'Ann', 0, 'x', '2026-01-05', '2026-01-06')",
        "update features.user_features_past set valid_to = '2026-01-07' where user_id = 1",
        "update features.user_features_past set user_id = 1 where user_id = 2",
    ],
    ids=["insert", "rows of one insert", "update of an end", "update of the user"],
)
def test_no_statement_makes_periods_overlap(statement: str, database: Database) -> None:
    """However many rows it inserts or updates, and whoever runs it."""
    for user_id, begin, end in ((1, "01", "05"), (1, "06", "09"), (2, "02", "03")):
        values = f"({user_id}, 'Ann', 0, 'x', '2026-01-{begin}', '2026-01-{end}')"
        database.query(INSERT + values)
    with pytest.raises(psycopg.errors.ExclusionViolation, match="a period of user") as caught:
        database.query(statement)
    assert caught.value.diag.constraint_name == "periods_do_not_overlap"


@every_version
def test_two_sessions_cannot_make_periods_overlap(database: Database) -> None:
    """The second one waits for the first, and then sees its period; readers do not wait."""
    with (
        ThreadPoolExecutor() as threads,
        database.connect("etl") as first,
        database.connect("etl") as second,
    ):
        first.execute(PERIOD)
        waiting = threads.submit(second.execute, LONGER)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        assert features_of(database, "user_features_history") == []
        first.commit()
        with pytest.raises(psycopg.errors.ExclusionViolation):
            waiting.result(timeout=30)


@every_version
def test_an_old_snapshot_cannot_add_periods(database: Database) -> None:
    """It would not see a period that another session has added since."""
    with database.connect("etl") as connection:
        connection.execute("set transaction isolation level repeatable read")
        assert connection.execute("select from features.user_features_past").rowcount == 0
        database.query(PERIOD)
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="read committed"):
            connection.execute(LONGER)


@every_version
def test_one_users_features_are_found_by_index(database: Database, tmp_path: Path) -> None:
    """The planner inlines the function, so that a condition on it can use the indexes."""
    load_experiments(database, tmp_path, {1: 1})
    with database.connect() as connection:
        connection.execute("set enable_seqscan = off")
        rows = connection.execute(
            "explain (costs off) select * from features.user_features_as_of(now()) where user_id = 5"
        ).fetchall()
    plan = "\n".join(line for (line,) in rows)
    assert "Function Scan" not in plan
    assert "using user_features_pkey" in plan
    assert "user_features_past_pkey" in plan


def test_the_documented_join_gives_past_features(database: Database, tmp_path: Path) -> None:
    """The query in docs/database.md gives each event the features of its time."""
    text = (ROOT / "docs" / "database.md").read_text()
    (query,) = re.findall(r"```sql\n(with events.*?)```", text, re.DOTALL)
    for drop in ({1: 1, 2: 2}, {1: 3, 2: 2}):
        load_experiments(database, tmp_path, drop)
    first, second = sorted({row["valid_from"] for row in periods_of(database)})
    database.query("create table orders (order_id int, user_id bigint, ordered_at timestamptz)")
    for order_id, (user_id, ordered_at) in enumerate(
        [(1, first), (1, second), (2, second), (1, first - timedelta(days=1)), (3, second)], start=1
    ):
        database.query("insert into orders values (%s, %s, %s)", order_id, user_id, ordered_at)
    database.query("grant select on orders to analyst")
    rows = database.query(query, user="analyst")
    assert [tuple(row.values())[:1] + tuple(row.values())[3:4] for row in rows] == [
        (1, 1),
        (2, 3),
        (3, 2),
        (4, None),
        (5, None),
    ]
