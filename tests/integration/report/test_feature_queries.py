"""The page's queries of users: complete pages, searches, history."""

from pathlib import Path
from typing import Any

import pytest

from experiment_features.definitions import USER_FEATURES
from experiment_features.load.database import Connection, connect
from experiment_features.report import feature_queries
from experiment_features.report.feature_queries import Sort
from experiment_features.report.paging import reading
from integration.report.walking import walk
from integration.running import load_experiments, make_drop, run_drop
from integration.servers import VERSIONS, Database

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)


@pytest.mark.parametrize("descending", [False, True], ids=["rising", "falling"])
@pytest.mark.parametrize("sort", ["id", "name", "experiments"])
def test_pages_of_users_are_complete(
    sort: Sort, descending: bool, database: Database, tmp_path: Path
) -> None:
    """Each user is on exactly one page, in the requested order, with ties ordered by id."""
    experiments = {user_id: user_id % 7 for user_id in range(1, 131)}
    load_experiments(database, tmp_path, experiments)
    keys: dict[str, Any] = {
        "id": lambda user_id: user_id,
        "name": lambda user_id: (f"user {user_id}", user_id),
        "experiments": lambda user_id: (experiments[user_id], user_id),
    }
    with connect(database.url("analyst")) as reader, reading(reader):
        found = walk(
            lambda cursor: feature_queries.find_rows(
                reader, USER_FEATURES, sort=sort, descending=descending, cursor=cursor
            ),
            lambda user: user["user_id"],
        )
    assert found == sorted(experiments, key=keys[sort], reverse=descending)


NAMES = {
    1: "Ann Lee",
    2: "ann%",
    3: "Anna Andersson",
    4: "ANNE",
    5: "Bob O'Annan",
    6: "an_",
    7: "Ånn Þór-Łukasz",
    8: "42 Nd",
    9: "Émile Zola",
    10: "Δημήτρης",
    11: "a" * 300,
    12: "🧪 Lab",
    13: "%_\\",
    14: "Jean-Luc van der Berg",
    15: "الياس",
}

SEARCHES = {
    "ann": [1, 2, 3, 4, 5, 7],
    " ÀNN ": [1, 2, 3, 4, 5, 7],
    "lee": [1],
    "LE an": [1],
    "ee": [],
    "an%": [1, 2, 3, 4, 5, 6, 7],
    "anna anna": [3, 5],
    "anna bob": [5],
    "o'ann": [5],
    "thor luk": [7],
    "emile": [9],
    "ΔΗΜΉ": [10],
    "a" * 200: [11],
    "🧪": [12],
    "%_": [13],
    "luc ber jean": [14],
    "der berg": [14],
    "اليا": [15],
    "5": [5],
    "42": [8],
    "12": [12],
    "٣": [],
    "99999999999999999999": [],
    "9" * 5000: [],
    "0" * 5000 + "5": [5],
    "0": [],
    "'; drop table features.user_features --": [],
    "%s": [],
    "\\": [],
}


@every_version
def test_search(database: Database, tmp_path: Path) -> None:
    """A search finds an id, and names by the beginnings of their words, each name once."""
    run_drop(database, make_drop(NAMES).write(tmp_path / "drop"), allow_empty=True)
    with connect(database.url("analyst")) as reader, reading(reader):
        found = {
            search: sorted(
                user["user_id"]
                for user in feature_queries.find_rows(
                    reader, USER_FEATURES, search=search, sort="name"
                ).rows
            )
            for search in SEARCHES
        }
    assert found == SEARCHES


def test_pages_of_a_search_are_complete(database: Database, tmp_path: Path) -> None:
    """Each user that is found is on exactly one page, in the order of the words that match."""
    users = {number: f"{'abcdefg'[number % 7]} xyz{number % 5} user" for number in range(1, 200)}
    users[3] = "3 xyz3 user"
    run_drop(database, make_drop(users).write(tmp_path / "drop"), allow_empty=True)
    with connect(database.url("analyst")) as reader, reading(reader):
        for search, expected in [
            ("XYZ", sorted(users, key=lambda user: (user % 5, user))),
            ("user xyz", sorted(users)),
            ("user", sorted(users)),
        ]:
            found = walk(
                lambda cursor, search=search: feature_queries.find_rows(
                    reader, USER_FEATURES, search=search, sort="name", cursor=cursor
                ),
                lambda user: user["user_id"],
            )
            assert found == expected, search
        first = feature_queries.find_rows(reader, USER_FEATURES, search="3", sort="name")
    assert [user["user_id"] for user in first.rows] == [3]


def test_words_follow_the_names(database: Database, tmp_path: Path) -> None:
    """A load writes the words of names that it changes, and only those."""
    words = (
        "select name_from, user_id, name_before, xmin::text from features.user_words "
        "union all select name_from, compound_id, name_before, 'c' from features.compound_words "
        "where compound_id = 1 order by 1, 2"
    )

    def load(users: dict[int, str], compound: str) -> list[tuple[Any, ...]]:
        drop = make_drop(users, compounds={1: compound}).write(tmp_path / compound)
        run_drop(database, drop, allow_empty=True, max_removed_percent=100.0)
        return [tuple(row.values()) for row in database.query(words)]

    first = load({1: "Ann Lee", 2: "Bob", 3: "Cy"}, "Acetic acid")
    assert [row[:3] for row in first] == [
        ("acetic acid", 1, ""),
        ("acid", 1, "acetic"),
        ("ann lee", 1, ""),
        ("bob", 2, ""),
        ("cy", 3, ""),
        ("lee", 1, "ann"),
    ]
    second = load({1: "Ann Lee", 2: "Rob"}, "Water")
    assert [row[:3] for row in second] == [
        ("ann lee", 1, ""),
        ("lee", 1, "ann"),
        ("rob", 2, ""),
        ("water", 1, ""),
    ]
    assert {row for row in first if row[1] == 1 and row[3] != "c"} <= set(second)
    database.query("delete from features.user_features")  # by hand, which leaves the words
    third = load({1: "Ann Lee", 4: "Dan"}, "Water")
    assert [row[0] for row in third] == ["ann lee", "dan", "lee", "water"]


def test_long_names_are_loaded_found_and_cut(
    database: Database, reader: Connection, tmp_path: Path
) -> None:
    """Names may exceed the limit of index entries; a page shows their start."""
    name = "ß" * 10_000
    run_drop(database, make_drop({1: name}).write(tmp_path / "drop"), allow_empty=True)
    assert database.value("select user_name from features.user_features") == name
    with reading(reader):
        (user,) = feature_queries.find_rows(
            reader, USER_FEATURES, search="ß" * 100, sort="name"
        ).rows
    assert user["user_name"] == "ß" * 120


def test_history_of_a_user(database: Database, reader: Connection, tmp_path: Path) -> None:
    """The latest period comes first; a user who has left has a history but no features."""
    runs = [load_experiments(database, tmp_path, drop) for drop in ({1: 1, 2: 1}, {1: 2}, {2: 1})]
    with reading(reader):
        history = feature_queries.find_history(reader, USER_FEATURES, 1)
        assert feature_queries.find_row(reader, USER_FEATURES, 1) is None
        assert feature_queries.find_user_compounds(reader, 1) == []
        compounds = feature_queries.find_user_compounds(reader, 2)
    assert [(p["total_experiments"], p["run_id"]) for p in history] == [(2, runs[1]), (1, runs[0])]
    assert None not in [period["valid_to"] for period in history]
    assert compounds == [{"compound_id": 1, "compound_name": "Water"}]


def test_ties_are_named_in_order(database: Database, reader: Connection, tmp_path: Path) -> None:
    """All tied compounds are named, the lowest id first."""
    run_drop(database, make_drop({1: "Ann"}, [(1, "3;1", "1")]).write(tmp_path / "drop"))
    with reading(reader):
        compounds = feature_queries.find_user_compounds(reader, 1)
        user = feature_queries.find_row(reader, USER_FEATURES, 1)
    assert [c["compound_name"] for c in compounds] == ["Water", "Methane"]
    assert user
    assert user["tied_compounds"] == 2
