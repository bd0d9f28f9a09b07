"""What a run changed: as the plan said, complete, and the same for good."""

import random
from pathlib import Path
from typing import Any

import pytest

from experiment_features.definitions import COMPOUND_FEATURES, RELATIONS, USER_FEATURES, Relation
from experiment_features.errors import LoadHeld
from experiment_features.load.database import Connection, connect
from experiment_features.load.migrate import migrate
from experiment_features.report import page_queries
from experiment_features.report.change_queries import (
    ChangePlace,
    count_changes,
    find_changes,
    read_changes,
)
from experiment_features.report.paging import Cursor, Page, Row, reading
from integration.load.test_load import FIRST, SECOND
from integration.load.test_plan import plan
from integration.report.walking import walk
from integration.running import features_of, load_experiments, make_drop, run_drop
from integration.servers import VERSIONS, Database

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)


def run_of(reader: Connection, run_id: str) -> Row:
    """The run, as the page finds it."""
    found = page_queries.find_run(reader, run_id)
    assert found
    return found


def place(change: Row) -> ChangePlace:
    """Where a change is in the list."""
    return ChangePlace(*(change[name] for name in ChangePlace._fields))


@every_version
def test_the_plan_comes_true(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a run changed is what its plan said, in the same order, also after later loads."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    source = SECOND.write(tmp_path / "second")
    planned = plan(database, source, capsys)[1]["plan"]["largest_changes"]
    run_id = run_drop(database, source)["run_id"]
    for _ in ("newest", "followed by a load that changes everything"):
        with connect(database.url("analyst")) as reader, reading(reader):
            run = run_of(reader, run_id)
            found = find_changes(reader, USER_FEATURES, run).rows
            counts = count_changes(reader, COMPOUND_FEATURES, run)
        assert planned == [
            {"user_id": c["id"], **{k: c[k] for k in ("feature", "before", "after")}} for c in found
        ]
        assert {c["id"]: c["kind"] for c in found} == {
            **dict.fromkeys((2, 4), "changed"),
            3: "gone",
            5: "new",
        }
        assert counts == {"new": 1, "changed": 1, "gone": 0}
        load_experiments(database, tmp_path, {2: 9, 4: 9, 5: 9}, {9: 9})


def changes_between(before: list[Row], after: list[Row], relation: Relation) -> set[Any]:
    """Id, kind, feature and values of all changes between two states of a relation."""
    old, new = ({row[relation.key]: row for row in rows} for rows in (before, after))
    found = set()
    for id_ in old.keys() | new.keys():
        kind = "changed" if id_ in old and id_ in new else "gone" if id_ in old else "new"
        names = relation.columns[1:] if kind == "changed" else ("total_experiments",)
        for name in names:
            values = [rows.get(id_, {}).get(name) for rows in (old, new)]
            if values[0] != values[1]:
                shown = [";".join(map(str, v)) if isinstance(v, list) else v for v in values]
                found.add((id_, kind, name, *shown))
    return found


def test_random_loads(database: Database, tmp_path: Path) -> None:
    """Of every load, exactly what differs from the one before, though users come, go and return."""
    chance = random.Random(8)  # noqa: S311
    states: list[list[list[Row]]] = [[[], []]]
    run_ids = []
    for _ in range(6):
        users = {i: chance.randrange(3) for i in range(1, 15) if chance.random() < 0.7}
        compounds = {i: chance.randrange(4) for i in range(1, 6) if chance.random() < 0.7}
        run_ids.append(load_experiments(database, tmp_path, users, compounds))
        states.append([features_of(database, relation.name) for relation in RELATIONS])
    with connect(database.url("analyst")) as reader, reading(reader):
        for run_id, before, after in zip(run_ids, states, states[1:], strict=False):
            run = run_of(reader, run_id)
            for relation, old, new in zip(RELATIONS, before, after, strict=True):
                expected = changes_between(old, new, relation)
                (names, *batches) = read_changes(reader, relation, run)
                rows = [row for batch in batches for row in batch]
                assert names == [
                    (*relation.columns[:2], "kind", "feature", "before", "after", "run_id")
                ]
                assert len(rows) == len(expected)
                assert {(row[0], *row[2:6]) for row in rows} == expected
                counts = count_changes(reader, relation, run)
                for kind in ("new", "changed", "gone"):
                    of_kind = find_changes(reader, relation, run, kind=kind).rows
                    assert {change["id"] for change in of_kind} == {
                        change[0] for change in expected if change[1] == kind
                    }
                    assert len({change["id"] for change in of_kind}) == counts[kind]
                assert sum(counts.values()) == len({change[0] for change in expected})


STEP_BACK = """
drop table features.load_changes;
drop index features.pipeline_runs_by_load, features.compound_features_past_by_end;
drop index features.held_changes_by_experiments;
alter table features.pipeline_runs
    drop column loaded_at, drop column issues_by_rule, drop column state_hash;
update features.schema_version set version_num = '0009'
"""


def test_an_upgrade_finds_the_same(database: Database, tmp_path: Path) -> None:
    """From the history alone, the migration finds what the loads themselves have recorded."""
    for users in ({1: 1, 2: 2, 3: 0}, {1: 1, 3: 5}, {1: 1, 3: 5}, {2: 9, 3: 7, 4: 4}):
        load_experiments(database, tmp_path, users, {1: 4, max(users): 1})
    change_many(database, tmp_path)

    def recorded() -> list[Any]:
        runs = database.query("select run_id, loaded_at from features.pipeline_runs")
        changes = features_of(database, "load_changes")
        return sorted(
            [str(r) for r in runs if r["run_id"] in {c["run_id"] for c in changes if any_of(c)}]
            + [
                str({k: sorted(v) if isinstance(v, list) else v for k, v in c.items()})
                for c in changes
                if any_of(c)
            ]
        )

    def any_of(changes: Row) -> bool:
        return any(changes[name] for name in ("inserted", "updated", "deleted"))

    before = recorded()
    for statement in STEP_BACK.split(";"):
        database.query(statement, user="keeper")
    migrate(database.url("keeper"))
    assert recorded() == before


def test_a_load_of_very_many_changes(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest changes of each kind are listed; the file has all."""
    monkeypatch.setattr("experiment_features.load.merge.LISTED", 3)
    load_experiments(database, tmp_path, dict.fromkeys(range(1, 31), 1))
    then = {i: 1 + i % 7 for i in range(11, 31)} | dict.fromkeys(range(40, 50), 1) | {50: 2}
    run_id = load_experiments(database, tmp_path, then)
    with connect(database.url("analyst")) as reader, reading(reader):
        run = run_of(reader, run_id)
        feature = "total_experiments"
        found = find_changes(reader, USER_FEATURES, run, feature=feature).rows
        rows = [row for batch in read_changes(reader, USER_FEATURES, run) for row in batch][1:]
    assert [(c["id"], c["kind"]) for c in found] == [
        *((i, "changed") for i in (13, 20, 27)),
        (50, "new"),
        *((i, "gone") for i in (1, 2, 3)),
        *((i, "new") for i in (40, 41)),
    ]
    assert len([row for row in rows if row[3] == feature]) == 10 + 17 + 11


def change_many(database: Database, folder: Path) -> str:
    """Loads changes of 60 users; their averages come, go and change."""
    users = dict.fromkeys(range(1, 61), "Ann")
    first = make_drop(users, [(i, "1", "" if i % 3 else "0" if i % 2 else "4") for i in users])
    second = make_drop(
        users, [(i, "1;2", str(i % 7)) for i in users] + [(i, "1", "") for i in (7, 9)]
    )
    run_drop(database, first.write(folder / "first"))
    return str(run_drop(database, second.write(folder / "second"))["run_id"])


def test_pages_are_complete(database: Database, tmp_path: Path) -> None:
    """Each change is on exactly one page, whatever is infinite, 0 or equal; filters too."""
    run_id = change_many(database, tmp_path)
    with connect(database.url("analyst")) as reader, reading(reader):
        run = run_of(reader, run_id)

        def pages(feature: str | None) -> list[ChangePlace]:
            def ask(cursor: Cursor | None) -> Page:
                return find_changes(reader, USER_FEATURES, run, feature=feature, cursor=cursor)

            return walk(ask, place)

        every = pages(None)
        in_file = [row for batch in read_changes(reader, USER_FEATURES, run) for row in batch][1:]
        assert [(row[0], row[3]) for row in in_file] == [(c.id, c.feature) for c in every]
        assert len(every) > 150
        assert [c.id for c in every[:2]] == [7, 9]
        assert None in {c.relative_size for c in every}
        for feature in USER_FEATURES.columns[1:]:
            assert pages(feature) == [change for change in every if change.feature == feature]


def test_what_a_held_run_would_have_removed(
    database: Database, reader: Connection, tmp_path: Path
) -> None:
    """The users with the most experiments come first, page by page; nothing else is listed."""
    load_experiments(database, tmp_path, {i: i % 5 for i in range(1, 131)}, {1: 0})
    with pytest.raises(LoadHeld):
        load_experiments(database, tmp_path, {1: 1}, {1: 0}, max_removed_percent=20, run_id="less")
    with reading(reader):
        run = run_of(reader, "less")
        found = walk(lambda cursor: find_changes(reader, USER_FEATURES, run, cursor=cursor), place)
        assert [(c.size, c.id) for c in found] == sorted(
            ((i % 5, i) for i in range(2, 131)), key=lambda c: (-c[0], c[1])
        )
        assert count_changes(reader, USER_FEATURES, run) == {"new": 0, "changed": 0, "gone": 129}
        assert count_changes(reader, COMPOUND_FEATURES, run)["gone"] == 0
        assert find_changes(reader, USER_FEATURES, run, kind="new").rows == []
        assert find_changes(reader, USER_FEATURES, run, feature="user_name").rows == []
        (_, rows) = read_changes(reader, USER_FEATURES, run)
    assert rows[0] == (4, "user 4", "gone", "total_experiments", 4, None, "less")
    assert len(rows) == 129
