"""Every feature in definitions.py is a column that is compared, written and kept in history."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from cases import first_or_all, left_to_ci
from experiment_features.definitions import (
    COMPOUND_FEATURES,
    RELATIONS,
    USER_FEATURES,
    Feature,
    Relation,
)
from experiment_features.errors import DatabaseRefused, DropRejected
from experiment_features.load.database import connect, database_errors
from experiment_features.load.merge import Changes, compare, merge
from experiment_features.pipeline import Pipeline
from integration.running import compute_drop, features_of, make_drop, make_pipeline, run_drop
from integration.servers import Database, Server

DROP = make_drop({1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "1")])

TYPES = {
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "bigint[]": pa.list_(pa.int64()),
}

EVERY_FEATURE = [
    parameters
    for relation in RELATIONS
    for parameters in first_or_all(
        *(
            pytest.param(relation, feature, id=f"{relation.name}.{feature.name}")
            for feature in reversed(relation.features[1:])  # the newest first
        )
    )
]

every_relation = pytest.mark.parametrize(
    "relation", [pytest.param(relation, id=relation.name) for relation in RELATIONS]
)


def another(value: Any) -> Any:
    """Returns a value that differs minimally from another."""
    match value:
        case None:
            return 1
        case str():
            return f"{value} "
        case list():
            return [*value, 9]
        case _:
            return value + 1


def write(relation: Relation, rows: list[dict[str, Any]], path: Path) -> Path:
    """Writes the rows as transform would."""
    schema = pa.schema([(f.name, TYPES[f.sql_type]) for f in relation.features])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def without_checks(database: Database) -> None:
    """Drops the checks."""
    checks = database.query(
        "select conrelid::regclass::text as relation, conname as name from pg_constraint "
        "where contype = 'c' and connamespace = 'features'::regnamespace"
    )
    for check in checks:
        database.query(
            sql.SQL("alter table {} drop constraint {}").format(
                sql.Identifier(*check["relation"].split(".")), sql.Identifier(check["name"])
            )
        )


@pytest.fixture(scope="module")
def loaded(
    server_of: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database with DROP, without checks, so that a feature can have any value."""
    with server_of("18").database("loaded") as loaded:
        run_drop(loaded, DROP.write(tmp_path_factory.mktemp("loaded") / "drop"), run_id="one")
        without_checks(loaded)
        yield loaded


@pytest.fixture
def copy(loaded: Database) -> Iterator[Database]:
    """A copy of it, for one test."""
    with loaded.server.database("copy", template=loaded.name) as copy:
        yield copy


@pytest.mark.parametrize(("relation", "feature"), EVERY_FEATURE)
def test_a_change_of_one_feature_is_written(
    relation: Relation, feature: Feature, copy: Database, tmp_path: Path
) -> None:
    """The new value is stored, the old one is in the history, and no other row is touched."""
    before = features_of(copy, relation.name)
    staged = [dict(row) for row in before]
    staged[0][feature.name] = another(before[0][feature.name])
    path = write(relation, staged, tmp_path / "staged.parquet")
    with connect(copy.url()) as connection:
        changes = compare(connection, relation, path)
        merge(connection, relation, changes, run_id="two", loaded_at=datetime.now(UTC))
    assert changes == Changes(inserted=0, updated=1, deleted=0, unchanged=len(before) - 1)
    changed, *others = features_of(copy, relation.name)
    assert others == before[1:]
    assert changed[feature.name] == staged[0][feature.name] != before[0][feature.name]
    assert changed["run_id"] == "two"
    assert {name: changed[name] for name in relation.columns} == {
        name: staged[0][name] for name in relation.columns
    }
    (period,) = features_of(copy, relation.past)
    assert {name: period[name] for name in relation.columns} == {
        name: before[0][name] for name in relation.columns
    }
    assert (period["run_id"], period["valid_to"]) == ("one", changed["updated_at"])


@every_relation
def test_the_tables_have_the_features_as_defined(relation: Relation, database: Database) -> None:
    """The tables have exactly the defined columns, with the same types."""
    periods = ["run_id", "valid_from", "valid_to"]
    for table, further in ((relation.name, ["run_id", "updated_at"]), (relation.past, periods)):
        columns = database.query(
            "select attname, format_type(atttypid, atttypmod) as type from pg_attribute "
            "where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
            f"features.{table}",
        )
        found = {column["attname"]: column["type"] for column in columns}
        assert {name: found.pop(name) for name in further} == {
            name: "text" if name == "run_id" else "timestamp with time zone" for name in further
        }
        assert found == {feature.name: feature.sql_type for feature in relation.features}


@pytest.mark.parametrize(
    ("relation", "query"),
    [
        (USER_FEATURES, "select * from features.user_features_history order by 1"),
        (COMPOUND_FEATURES, "select * from features.compound_features_history order by 1"),
        (USER_FEATURES, "select * from features.user_features_as_of(now()) order by 1"),
        (USER_FEATURES, "select * from features.user_feature_report order by 1"),
    ],
)
def test_the_views_show_every_feature(relation: Relation, query: str, loaded: Database) -> None:
    """The views have all features of the table."""
    rows = loaded.query(query)
    assert [{name: row[name] for name in relation.columns} for row in rows] == [
        {name: row[name] for name in relation.columns} for row in features_of(loaded, relation.name)
    ]


DISCARD = "create function discard() returns trigger language plpgsql as 'begin return null; end'"
FAULTY = make_drop(
    {1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "1"), (2, "3", "1"), (9, "3", "1")]
)
CHANGED = make_drop(
    {1: "Ann B.", 3: "Cyd"}, [(1, "1", "10"), (9, "3", "1")], {1: "Water", 3: "Tar"}
)
HERE = """
update features.part_store
set database_oid = (select oid from pg_database where datname = current_database())
"""
"""Makes a copy of a database the one whose parts are in the store."""

TABLES = [
    *(table for relation in RELATIONS for table in (relation.name, relation.past)),
    "pipeline_runs",
    "data_issues",
]


@pytest.fixture(scope="module")
def computed(
    server_of: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Pipeline]]:
    """A database with FAULTY, to be copied, and a run on CHANGED that is to be loaded.

    An earlier run on it, ``mine``, was rejected.
    """
    folder = tmp_path_factory.mktemp("computed")
    with server_of("18").database("computed") as database:
        run_drop(database, FAULTY.write(folder / "drop"), max_rejected_percent=50)
        changed = CHANGED.write(folder / "changed")
        with pytest.raises(DropRejected):
            run_drop(database, changed, run_id="mine")
        yield (
            database,
            compute_drop(make_pipeline(database, folder, max_rejected_percent=50), changed),
        )


@pytest.fixture
def to_load(computed: tuple[Database, Pipeline]) -> Iterator[tuple[Database, Pipeline]]:
    """A copy of the database, and the run, which loads into it."""
    database, pipeline = computed
    with database.server.database("copy", template=database.name) as copy:
        copy.query(HERE)
        copy.query(DISCARD)
        yield copy, replace(pipeline, connect=lambda: connect(copy.url()))


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        pytest.param("user_features_past", "close_periods", id="close_periods"),
        pytest.param("data_issues", "copy", id="copy_issues"),
        *left_to_ci(
            pytest.param(
                "compound_features_past", "close_periods", id="close_periods_of_compounds"
            ),
            pytest.param("user_features", "update", id="update"),
            pytest.param("user_features", "delete", id="delete"),
            pytest.param("user_features", "insert", id="insert"),
            pytest.param("compound_features", "update", id="update_compounds"),
            pytest.param("data_issues", "close_issues", id="close_issues"),
        ),
    ],
)
def test_a_trigger_that_discards_writes_is_named(
    table: str, statement: str, to_load: tuple[Database, Pipeline]
) -> None:
    """Nothing is loaded, and without the trigger the same drop loads."""
    database, pipeline = to_load
    before = [features_of(database, name) for name in TABLES]
    event = {"update": "update", "close_issues": "update", "delete": "delete"}.get(
        statement, "insert"
    )
    database.query(
        sql.SQL(
            "create trigger discards before {} on {} for each row execute function discard()"
        ).format(sql.SQL(event), sql.Identifier("features", table))
    )
    with pytest.raises(
        DatabaseRefused, match=rf"{table}.*: {statement} should have written \d rows"
    ):
        pipeline.load()
    assert [features_of(database, name) for name in TABLES] == before
    database.query("drop function discard cascade")
    result = pipeline.load()
    assert (result.inserted, result.updated, result.deleted) == (1, 1, 1)


TRIGGER = (
    "create trigger discards before {event} on {table} for each row execute function discard()"
)
RULE = "create rule discards as on {event} to {table} do instead nothing"


@pytest.mark.parametrize(
    ("by", "event", "table", "run_id"),
    [
        pytest.param(by, event, table, run_id, id=f"{event} {table} by {name}")
        for name, by, event, table, run_id in (
            ("trigger", TRIGGER, "insert", "pipeline_runs", "new"),
            ("rule", RULE, "insert", "pipeline_runs", "new"),
            ("trigger", TRIGGER, "delete", "pipeline_runs", "mine"),
            ("rule", RULE, "delete", "pipeline_runs", "mine"),
            ("trigger", TRIGGER, "delete", "data_issues", "mine"),
            ("trigger", TRIGGER, "insert", "users_by_total_experiments", "new"),
            ("trigger", TRIGGER, "delete", "users_by_total_experiments", "new"),
        )
    ],
)
def test_a_ledger_that_is_not_written_is_named(
    by: str, event: str, table: str, run_id: str, to_load: tuple[Database, Pipeline]
) -> None:
    """Entries, issues and counts, too, are either written, or nothing is loaded."""
    database, pipeline = to_load
    pipeline = replace(pipeline, run=replace(pipeline.run, run_id=run_id))
    statement = sql.SQL(by).format(event=sql.SQL(event), table=sql.Identifier("features", table))
    database.query(statement)
    found = [features_of(database, name) for name in [*TABLES, "data_issues"]]
    with pytest.raises(DatabaseRefused, match=rf"features.*{table}.*: {event} should have written"):
        pipeline.load()
    assert [features_of(database, name) for name in [*TABLES, "data_issues"]] == found


CHANGE = (
    "create function change() returns trigger language plpgsql security definer as "
    "$$begin {body}; return {row}; end$$; "
    "create trigger changes {event} on features.{table} for each row execute function change()"
)


def test_a_trigger_that_changes_what_is_written_is_named(
    database: Database, tmp_path: Path
) -> None:
    """The number of rows does not tell; nothing is loaded, and without it the drop loads."""
    run_drop(database, FAULTY.write(tmp_path / "drop"), max_rejected_percent=50)
    changed = CHANGED.write(tmp_path / "changed")
    pipeline = compute_drop(make_pipeline(database, tmp_path, max_rejected_percent=50), changed)
    names = [*TABLES, "users_by_total_experiments"]
    before = [features_of(database, name) for name in names]
    rename_users = "update features.user_features set user_name = 'x'"
    for event, table, body, named in (
        ("before update", "user_features", "new.total_experiments := 101", "user_features"),
        ("before insert", "user_features", "new.updated_at := '2000-01-01'", "user_features"),
        ("after insert", "user_features", "delete from features.user_features", "user_features"),
        ("after insert", "data_issues", rename_users, "user_features"),
        ("before insert", "user_features_past", "new.user_name := 'x'", "user_features_past"),
        ("before insert", "compound_features_past", "new.run_id := 'x'", "compound_features_past"),
        (
            "before insert",
            "users_by_total_experiments",
            "new.users := 9",
            "users_by_total_experiments",
        ),
        ("before insert", "pipeline_runs", "new.warnings := 7", "pipeline_runs"),
        ("before insert", "data_issues", "new.closed_by := new.run_id", "data_issues"),
        ("after insert", "data_issues", "delete from features.data_issues", "data_issues"),
        ("before insert", "data_issues", "new.value := null", "data_issues"),
        ("before insert", "load_changes", "new.inserted := 7", "load_changes"),
        ("before insert", "load_changes", "new.largest_ids := '{}'", "load_changes"),
    ):
        row = "new" if event.startswith("before") else "null"
        database.query(CHANGE.format(event=event, table=table, body=body, row=row))
        with pytest.raises(DatabaseRefused) as caught:
            pipeline.load()
        assert f"features.{named}: " in str(caught.value)
        assert "everything was undone. Find and remove whatever" in str(caught.value)
        assert [features_of(database, name) for name in names] == before
        database.query("drop function change cascade")
    assert pipeline.load().inserted == 1


@pytest.mark.parametrize("table", first_or_all("user_features", "pipeline_runs", "data_issues"))
def test_a_policy_that_hides_rows_is_named(table: str, database: Database, tmp_path: Path) -> None:
    """Without the last load, its guard would be off, and its parts could be removed."""
    users = dict.fromkeys(range(1, 31), "Ann")
    run_drop(database, make_drop(users).write(tmp_path / "drop"), allow_empty=True)
    few = make_drop({1: "Ann"}).write(tmp_path / "few")
    database.query(
        sql.SQL(
            "alter table {0} enable row level security; create policy p on {0} using (false)"
        ).format(sql.Identifier("features", table))
    )
    for database_user in ("etl", "analyst"):
        with (
            connect(database.url(database_user)) as connection,
            pytest.raises(
                DatabaseRefused, match=f'policy for table "{table}".*`alter role NAME bypassrls`'
            ),
            database_errors("read"),
        ):
            connection.execute(sql.SQL("table {}").format(sql.Identifier("features", table)))
    with pytest.raises(DatabaseRefused, match=f'policy for table "{table}".*All rows have to be'):
        run_drop(database, few, allow_empty=True, max_removed_percent=100)
    assert len(features_of(database)) == len(users)
    database.query("alter role etl bypassrls")
    try:
        run_drop(database, few, allow_empty=True, max_removed_percent=100)
    finally:
        database.query("alter role etl nobypassrls")


def test_held_changes_that_are_not_written_are_named(database: Database, tmp_path: Path) -> None:
    """A load that is held lists what it would have removed, or says that it could not."""
    users = dict.fromkeys(range(1, 31), "Ann")
    run_drop(database, make_drop(users).write(tmp_path / "drop"), allow_empty=True)
    database.query(DISCARD)
    database.query(TRIGGER.format(event="insert", table="features.held_changes"))
    few = make_drop({1: "Ann"}).write(tmp_path / "few")
    message = "held_changes: insert should have written 29 rows"
    with pytest.raises(DatabaseRefused, match=message):
        run_drop(database, few, allow_empty=True)
    database.query("drop function discard cascade")
    change = {"event": "before insert", "table": "held_changes", "row": "new"}
    database.query(CHANGE.format(body="new.name := 'x'", **change))
    with pytest.raises(DatabaseRefused, match=message):
        run_drop(database, few, allow_empty=True)
