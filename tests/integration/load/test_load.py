"""The load: correct counts, no needless writes, no blocking, and safe to rerun."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

import oracle
from cases import first_or_all
from comparison import assert_features
from experiment_features.errors import DatabaseRefused, DatabaseUnavailable
from experiment_features.load import load as load_module
from experiment_features.load.database import Connection, connect
from experiment_features.load.load import load
from experiment_features.load.words import Word, words_of
from integration.load.test_copy import HOSTILE_TEXTS
from integration.running import (
    compute_drop,
    features_of,
    make_drop,
    make_pipeline,
    run_drop,
    run_of,
)
from integration.servers import VERSIONS, Database

ESCAPE = "\\u0000"

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)

FIRST = make_drop(
    {1: "Ann", 2: "Bob", 3: "Cyd", 4: "Dee"},
    [(1, "1;2", "10"), (1, "2", ""), (2, "3", "0.5"), (4, "1", "3")],
)
SECOND = make_drop(
    {1: "Ann", 2: "Bob", 4: "Dee Smith", 5: "Eve"},
    [(1, "1;2", "10"), (1, "2", ""), (2, "3", "1.5"), (4, "1", "3")],
    {1: "Water", 2: "Ethanol", 3: "Marsh gas", 9: "Unused"},
)


@contextmanager
def holding_load_lock(
    database: Database, name: str = "", user: str = "etl"
) -> Iterator[Connection]:
    """Holds the load lock in another session until the end."""
    with database.connect(user, application_name=name) as holder:
        holder.execute("select pg_advisory_xact_lock(hashtext('experiment_features.load'))")
        yield holder


def watch_end_of_load(monkeypatch: pytest.MonkeyPatch, query: str) -> list[list[Any]]:
    """Makes the loading session run a query at the end of its transaction."""
    answers: list[list[Any]] = []
    forget = load_module.forget_old_runs

    def watch(connection: Connection, keep_days: int) -> None:
        forget(connection, keep_days)
        answers.append(connection.execute(query).fetchall())

    monkeypatch.setattr(load_module, "forget_old_runs", watch)
    return answers


def tuples_of(database: Database) -> list[dict[str, Any]]:
    """Returns the location of each row of features and history, and who wrote it."""
    return database.query(
        "select 1, ctid::text, xmin::text, xmax::text, user_id from features.user_features "
        "union all select 2, ctid::text, xmin::text, xmax::text, compound_id "
        "from features.compound_features "
        "union all select 3, ctid::text, xmin::text, xmax::text, user_id "
        "from features.user_features_past order by 1, 2"
    )


@every_version
def test_new_changed_and_gone_rows_are_written(database: Database, tmp_path: Path) -> None:
    """Users and compounds become those of the drop, and the counts are correct."""
    result = run_drop(database, FIRST.write(tmp_path / "first"), run_id="one")
    assert [result[name] for name in ("inserted", "updated", "deleted", "unchanged")] == [
        4,
        0,
        0,
        0,
    ]
    result = run_drop(database, SECOND.write(tmp_path / "second"), run_id="two")
    assert [result[name] for name in ("inserted", "updated", "deleted", "unchanged")] == [
        1,
        2,
        1,
        1,
    ]
    users = database.query(
        "select user_id, user_name, average_experiment_run_time as time, run_id "
        "from features.user_features order by 1"
    )
    assert [tuple(row.values()) for row in users] == [
        (1, "Ann", 10.0, "one"),
        (2, "Bob", 1.5, "two"),
        (4, "Dee Smith", 3.0, "two"),
        (5, "Eve", None, "two"),
    ]
    compounds = database.query(
        "select compound_id, compound_name, total_experiments, total_users, run_id "
        "from features.compound_features order by 1"
    )
    assert [tuple(row.values()) for row in compounds] == [
        (1, "Water", 2, 2, "one"),
        (2, "Ethanol", 2, 1, "one"),
        (3, "Marsh gas", 1, 1, "two"),
        (9, "Unused", 0, 0, "two"),
    ]


def test_what_becomes_known_or_unknown_is_written(database: Database, tmp_path: Path) -> None:
    """Also if nothing else of the row changes."""
    for run_time, average in (("", None), ("5", 5.0), ("", None)):
        drop = make_drop({1: "Ann"}, [(1, "1", run_time)])
        run_drop(database, drop.write(tmp_path / "drop"))
        (user,) = features_of(database)
        assert user["average_experiment_run_time"] == average


@every_version
def test_an_identical_load_writes_no_tuple(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A forced load of the same drop touches no row, and compares none."""
    for drop in (FIRST, SECOND):
        run_drop(database, drop.write(tmp_path / "drop"))
    before = tuples_of(database)
    with caplog.at_level("INFO"):
        result = run_drop(database, tmp_path / "drop", force=True, run_id="again")
    assert "staged user_features: 0 rows" in caplog.text
    assert result["status"] == "loaded"
    assert [result[name] for name in ("inserted", "updated", "deleted", "unchanged")] == [
        0,
        0,
        0,
        4,
    ]
    assert tuples_of(database) == before
    assert run_of(database, "again")["status"] == "loaded"


def test_an_identical_load_corrects_what_was_changed_by_hand(
    database: Database, tmp_path: Path
) -> None:
    """Though the features that it has computed are those of the last load."""
    run_drop(database, FIRST.write(tmp_path / "drop"))
    before = features_of(database)
    database.query("update features.user_features set total_experiments = 7 where user_id = 2")
    assert run_drop(database, tmp_path / "drop", force=True)["updated"] == 1
    times = {"updated_at": None, "run_id": None}
    assert [row | times for row in features_of(database)] == [row | times for row in before]


def test_no_lock_is_stronger_than_row_exclusive(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load never blocks readers or writers of other rows."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    answers = watch_end_of_load(
        monkeypatch,
        "select distinct mode from pg_locks where pid = pg_backend_pid() and relation in "
        "(select oid from pg_class where relnamespace = 'features'::regnamespace)",
    )
    run_drop(database, SECOND.write(tmp_path / "second"))
    assert {mode for (mode,) in answers[0]} == {
        "AccessShareLock",
        "RowShareLock",  # of the store's place; weaker than RowExclusiveLock
        "RowExclusiveLock",
    }


def test_what_users_built_on_the_tables_survives(database: Database, tmp_path: Path) -> None:
    """Views, grants, indexes and foreign keys survive loads and keep working."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    database.query("create view busy as select user_id from features.user_features")
    database.query("grant usage on schema features to stranger")
    database.query("grant select on features.user_features, busy to stranger")
    database.query("create index by_name on features.user_features (user_name)")
    database.query(
        "create table notes (user_id bigint references features.user_features on delete cascade)"
    )
    database.query("insert into notes values (1), (3)")
    for drop in (SECOND, FIRST, SECOND):
        run_drop(database, drop.write(tmp_path / "drop"))
    assert database.value("select count(*) from busy", user="stranger") == 4
    assert database.value("select count(*) from features.user_features", user="stranger") == 4
    assert database.query("select user_id from notes") == [{"user_id": 1}]
    assert database.value("select count(*) from pg_indexes where indexname = 'by_name'") == 1


def test_a_foreign_key_that_forbids_a_deletion_is_named(database: Database, tmp_path: Path) -> None:
    """A load that violates a user's own constraint changes nothing and names it."""
    run_drop(database, FIRST.write(tmp_path / "first"))
    database.query("create table notes (user_id bigint references features.user_features)")
    database.query("insert into notes values (3)")
    before = features_of(database)
    with pytest.raises(DatabaseRefused, match='foreign key constraint "notes_user_id_fkey"'):
        run_drop(database, SECOND.write(tmp_path / "second"))
    assert features_of(database) == before


def test_a_load_waits_for_the_one_before(database: Database, tmp_path: Path) -> None:
    """The periods of a load begin after it got the lock, not when it asked for it."""
    source = FIRST.write(tmp_path / "first")
    results: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: results.append(run_drop(database, source)))
    with holding_load_lock(database):
        thread.start()
        await_waiting_load(database)
        released_at = datetime.now(UTC)
    thread.join(60)
    assert results[0]["inserted"] == 4
    assert all(row["updated_at"] > released_at for row in features_of(database))


def test_no_other_load_begins_before_the_end(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From before the volume guard decides, nobody shares the lock."""
    query = "select pg_try_advisory_lock_shared(hashtext('experiment_features.load'))"
    check_volume, answers = load_module.check_volume, []

    def ask(*arguments: Any) -> Any:
        answers.append(database.value(query))
        return check_volume(*arguments)

    monkeypatch.setattr(load_module, "check_volume", ask)
    run_drop(database, FIRST.write(tmp_path / "first"))
    assert answers == [False]
    assert database.value(query)


def await_waiting_load(database: Database) -> None:
    """Waits until a load is waiting for the load lock."""
    query = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    deadline = time.monotonic() + 30
    while not database.value(query):
        assert time.monotonic() < deadline, "no load waited for the load lock within 30 s"
        time.sleep(0.01)


def test_the_holder_of_the_lock_is_named(database: Database, tmp_path: Path) -> None:
    """After a timeout, the message names the run, process and user that hold the lock."""
    pipeline = make_pipeline(database, tmp_path)
    compute_drop(pipeline, FIRST.write(tmp_path / "first"))
    with (
        holding_load_lock(database, "experiment_features other_run") as holder,
        database.connect("etl") as connection,
    ):
        pid = holder.info.backend_pid
        with pytest.raises(DatabaseUnavailable) as caught:
            load(
                connection,
                pipeline.workspace,
                pipeline.run,
                store=pipeline.parts,
                keep_days=90,
                lock_wait_seconds=0.2,
            )
    assert str(caught.value).startswith(
        f"cannot load run {pipeline.run.run_id}: after 0.2 s, the load lock is still held by "
        f'"experiment_features other_run", process {pid}, user etl, since 2'
    )
    assert features_of(database) == []


def test_a_holder_of_another_user_is_named_too(database: Database, tmp_path: Path) -> None:
    """Holders of another role are named too, without the start time PostgreSQL hides."""
    source = FIRST.write(tmp_path / "first")
    with (
        holding_load_lock(database, "by hand", user="keeper"),
        pytest.raises(DatabaseUnavailable, match=r'held by "by hand", process \d+, user keeper\.'),
    ):
        run_drop(database, source, timeout_seconds=0.4)


def test_a_load_sets_its_name_and_timeouts(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is named after the run, and its timeouts follow the task's."""
    answers = watch_end_of_load(
        monkeypatch,
        "select current_setting('application_name'), current_setting('statement_timeout'), "
        "current_setting('lock_timeout'), "
        "current_setting('idle_in_transaction_session_timeout')",
    )
    source = FIRST.write(tmp_path / "first")
    run_drop(database, source, run_id="mine", timeout_seconds=240)
    run_drop(database, source, run_id="long", force=True)
    assert [rows[0] for rows in answers] == [
        ("experiment_features mine", "4min", "2min", "4min"),
        ("experiment_features long", "1h", "5min", "1h"),
    ]


def test_a_locked_table_is_transient(database: Database, tmp_path: Path) -> None:
    """A load that cannot lock the features fails in time, and a later try succeeds."""
    source = FIRST.write(tmp_path / "first")
    with database.connect() as other:
        other.execute("lock table features.user_features in share mode")
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            run_drop(database, source, timeout_seconds=0.4)
    assert run_drop(database, source)["inserted"] == 4


def test_a_statement_that_takes_too_long_is_ended(database: Database, tmp_path: Path) -> None:
    """A slow database cannot hold up a load forever."""
    database.query(
        "create function slow() returns trigger language plpgsql "
        "as 'begin perform pg_sleep(30); return null; end'"
    )
    database.query(
        "create trigger slow after insert on features.user_features execute function slow()"
    )
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        run_drop(database, FIRST.write(tmp_path / "first"), timeout_seconds=0.5)
    assert features_of(database) == []


@pytest.mark.parametrize("level", first_or_all("serializable", "repeatable read"))
def test_a_strict_default_isolation_does_no_harm(
    level: str, database: Database, tmp_path: Path
) -> None:
    """A load that waited sees the result of the one before, at any default isolation level."""
    database.query(f"alter database {database.name} set default_transaction_isolation = '{level}'")
    results: list[dict[str, Any]] = []
    second = compute_drop(make_pipeline(database, tmp_path), SECOND.write(tmp_path / "second"))
    first = compute_drop(make_pipeline(database, tmp_path), FIRST.write(tmp_path / "first"))
    thread = threading.Thread(target=lambda: results.append(asdict(second.load())))
    with connect(database.url()) as connection:
        # A session can take its own lock again, so this one can load while the other waits.
        connection.execute("select pg_advisory_lock(hashtext('experiment_features.load'))")
        connection.commit()
        thread.start()
        await_waiting_load(database)
        load(connection, first.workspace, first.run, store=first.parts, keep_days=90)
    thread.join(60)
    assert [results[0][name] for name in ("inserted", "updated", "deleted")] == [1, 2, 1]


class TestRunAgain:
    """A committed load whose task runs again."""

    def test_gives_the_same_result(self, database: Database, tmp_path: Path) -> None:
        """Repeating a committed load, as after a lost connection or a clear, touches no row."""
        run_drop(database, FIRST.write(tmp_path / "first"))
        pipeline = make_pipeline(database, tmp_path, run_id="mine")
        compute_drop(pipeline, SECOND.write(tmp_path / "second"))
        result = asdict(pipeline.load())
        before = (tuples_of(database), run_of(database, "mine"))
        (pipeline.workspace.folder / "load.json").unlink()
        again = asdict(pipeline.load())
        assert again | {"seconds": result["seconds"]} == result
        assert result["inserted"] == 1
        assert (tuples_of(database), run_of(database, "mine")) == before

    def test_repairs_damage(self, database: Database, tmp_path: Path) -> None:
        """A rerun restores the features of the drop, and its counts say what it wrote."""
        pipeline = make_pipeline(database, tmp_path, run_id="mine")
        compute_drop(pipeline, FIRST.write(tmp_path / "first")).load()
        database.query("update features.user_features set user_name = 'X' where user_id = 2")
        database.query("delete from features.user_features where user_id = 3")
        result = asdict(pipeline.load())
        assert [result[n] for n in ("inserted", "updated", "deleted", "unchanged")] == [1, 1, 0, 2]
        assert [row["user_name"] for row in features_of(database)] == ["Ann", "Bob", "Cyd", "Dee"]
        assert run_of(database, "mine")["inserted"] == 4
        assert run_of(database, "mine/2")["inserted"] == result["inserted"]

    def test_never_undoes_a_later_load(self, database: Database, tmp_path: Path) -> None:
        """The retry of a load that had been committed finds that, and returns its result."""
        pipeline = make_pipeline(database, tmp_path, run_id="mine")
        result = compute_drop(pipeline, FIRST.write(tmp_path / "first")).load()
        run_drop(database, SECOND.write(tmp_path / "second"), run_id="other")
        before = tuples_of(database), features_of(database, "pipeline_runs")
        assert asdict(pipeline.load()) | {"seconds": 0} == asdict(result) | {"seconds": 0}
        assert (tuples_of(database), features_of(database, "pipeline_runs")) == before

    def test_loads_a_changed_drop(self, database: Database, tmp_path: Path) -> None:
        """A run that is cleared from the start reads its source again, and has a new entry."""
        source = FIRST.write(tmp_path / "drop")
        run_drop(database, source, run_id="mine")
        for number in (2, 3):
            drop = (FIRST, SECOND)[number % 2 - 1]
            result = run_drop(database, drop.write(source), run_id="mine")
            assert (result["run_id"], result["updated"]) == (f"mine/{number}", 2)
        assert {row["run_id"] for row in features_of(database)} == {"mine", "mine/3"}


@every_version
def test_hostile_content_arrives_unchanged(database: Database, tmp_path: Path) -> None:
    """Names that look like COPY, CSV, SQL or JSON syntax are loaded as they are."""
    names = [text for text in HOSTILE_TEXTS if text.strip(" \t")]
    names += ["\\.", "é\\" * 2**14, "\n\\.\n" * 1000]
    drop = make_drop(
        dict(enumerate(names, start=1)),
        [(i, str(i), "") for i, _ in enumerate(names, start=1)],
        {i: name[:1000] for i, name in enumerate(names, start=1)},
    )
    source = drop.write(tmp_path / "drop")
    run_id = "'; drop table features.user_features; -- %s \\. 😀"
    run_drop(database, source, run_id=run_id, max_rejected_percent=100)  # some names are invisible
    assert_features(
        oracle.compute(source), features_of(database), features_of(database, "compound_features")
    )


@every_version
def test_hostile_raw_rows_arrive_readable(database: Database, tmp_path: Path) -> None:
    """An issue has row and value as written, but empty cells are null and NUL becomes U+FFFD."""
    texts = [text.strip(" \t") for text in (*HOSTILE_TEXTS, "NUL\0inside")]
    texts.remove(ESCAPE)
    drop = make_drop({1: "Ann"} | {-i: text for i, text in enumerate(texts, start=1)})
    source = drop.write(tmp_path / "drop")
    run_drop(database, source, max_rejected_percent=100, allow_empty=True)
    rows = database.query(
        "select value, raw_row ->> 'name' as name from features.data_issues "
        "where rule = 'user_id_invalid' order by line_number"
    )
    assert {row["value"]: row["name"] for row in rows} == {
        f"-{i}": text.replace("\0", "\ufffd") or None for i, text in enumerate(texts, start=1)
    }


def test_a_raw_row_may_spell_out_the_escape_of_nul(database: Database, tmp_path: Path) -> None:
    """The characters of JSON's escape for NUL are ordinary text."""
    source = make_drop({1: "Ann", -1: ESCAPE}).write(tmp_path / "drop")
    run_drop(database, source, max_rejected_percent=100, allow_empty=True)
    assert database.value("select raw_row ->> 'name' from features.data_issues") == ESCAPE


class TestEmptyTables:
    """Drops that only allow_empty accepts."""

    def test_no_users(self, database: Database, tmp_path: Path) -> None:
        """All users are deleted, their periods end, and there is no average."""
        run_drop(database, FIRST.write(tmp_path / "first"))
        drop = make_drop({})
        result = run_drop(database, drop.write(tmp_path / "drop"), allow_empty=True)
        assert [result[n] for n in ("users", "deleted", "average_experiments_per_user")] == [
            0,
            4,
            None,
        ]
        assert features_of(database) == []
        assert len(features_of(database, "user_features_past")) == 4
        assert len(features_of(database, "compound_features")) == 3

    def test_nothing_at_all(self, database: Database, tmp_path: Path) -> None:
        """Three headers are a drop, which is unchanged the second time."""
        source = make_drop({}, (), {}).write(tmp_path / "drop")
        result = run_drop(database, source, allow_empty=True)
        assert (result["status"], result["users"], result["compounds"]) == ("loaded", 0, 0)
        result = run_drop(database, source, allow_empty=True)
        assert (result["status"], result["unchanged"]) == ("unchanged", 0)
        assert run_drop(database, FIRST.write(source))["inserted"] == 4


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "revoke features_writer from etl",
            "permission denied for schema features. Grant the user the role features_writer, or",
        ),
        (
            "drop schema features cascade",
            "is missing or outdated: run `python -m experiment_features",
        ),
        (
            "alter table features.user_features drop column most_common_compound_ids cascade",
            "is missing or outdated",
        ),
    ],
    ids=["privilege", "schema", "old_schema"],
)
def test_what_no_retry_can_fix_is_terminal(
    statement: str, message: str, database: Database, tmp_path: Path
) -> None:
    """A missing privilege or relation is terminal, and the message says what to do."""
    pipeline = make_pipeline(database, tmp_path)
    compute_drop(pipeline, FIRST.write(tmp_path / "first"))
    database.query(statement)
    try:
        with pytest.raises(DatabaseRefused, match=message):
            pipeline.load()
    finally:
        database.query("grant features_writer to etl")


def test_a_connection_that_was_cut_is_transient(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the session ends in the middle of the transaction, the next try succeeds."""
    pipeline = compute_drop(make_pipeline(database, tmp_path), FIRST.write(tmp_path / "first"))
    enter = load_module.enter_run

    def cut(connection: Connection, *arguments: Any, **options: Any) -> None:
        database.query("select pg_terminate_backend(%s)", connection.info.backend_pid)
        enter(connection, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(load_module, "enter_run", cut)
        with pytest.raises(DatabaseUnavailable, match=r"terminating connection|closed"):
            pipeline.load()
    assert features_of(database) == []
    assert pipeline.load().inserted == 4


@pytest.mark.parametrize(
    "error",
    first_or_all(
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.ReadOnlySqlTransaction,
        psycopg.errors.IdleInTransactionSessionTimeout,
        psycopg.errors.AdminShutdown,
        psycopg.errors.TooManyConnections,
        psycopg.errors.DiskFull,
        psycopg.InterfaceError,
    ),
)
def test_what_a_retry_may_fix_is_transient(
    error: type[psycopg.Error], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of PostgreSQL that may pass are transient."""
    pipeline = compute_drop(make_pipeline(database, tmp_path), FIRST.write(tmp_path / "first"))

    def fail(*_: Any, **__: Any) -> None:
        raise error("in trouble\nDETAIL: much of it")

    monkeypatch.setattr(load_module, "enter_run", fail)
    with pytest.raises(DatabaseUnavailable, match=r"^cannot load run run_\w+: in trouble$"):
        pipeline.load()
    assert features_of(database) == []


def test_a_load_fetches_only_the_beginning_of_long_names(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which it takes the words: many long names would not fit into memory."""
    lengths: list[int] = []

    def measured(name: str) -> list[Word]:
        lengths.append(len(name))
        return words_of(name)

    monkeypatch.setattr("experiment_features.load.words.words_of", measured)
    for sign in "ab":
        drop = make_drop({1: sign * 5_000}, [(1, "1", "1")]).write(tmp_path / sign)
        run_drop(database, drop)
    assert max(lengths) == 1_000
    assert [len(row["user_name"]) for row in features_of(database)] == [5_000]
