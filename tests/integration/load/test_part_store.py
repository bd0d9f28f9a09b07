"""The store of parts: what is read once is known, and nothing that the ledger names is removed."""

import contextlib
import gzip
import itertools
import json
import os
import re
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import date
from hashlib import sha256
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import Mock, patch

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from cases import cases, first_or_all
from comparison import assert_features
from drops import COLUMNS, Drop, Row, every_fault, render
from drops import Part as File
from experiment_features import reproduction
from experiment_features.contract import USER_EXPERIMENTS, Column, Kind
from experiment_features.definitions import USER_FEATURES
from experiment_features.drop.local_path import LocalPath
from experiment_features.errors import (
    ConfigurationError,
    DatabaseRefused,
    DropRefused,
    NothingToDo,
    StorageUnavailable,
)
from experiment_features.load.database import connect
from experiment_features.load.lifecycle import recorded
from experiment_features.load.loads import find_load
from experiment_features.load.migrate import migrate
from experiment_features.load.part_store import find_database_id, remove_old_parts
from experiment_features.pipeline import Pipeline
from experiment_features.reading import new_parts as reading
from experiment_features.reproduction import reproduce, run_fields
from experiment_features.store import compaction
from experiment_features.store.parts import PartStore
from integration.arena import load_and_remove, start_process
from integration.running import (
    compute_drop,
    extract_drop,
    features_of,
    make_drop,
    make_pipeline,
    run_of,
    run_stages,
    store_folder,
)
from integration.servers import Database, Server
from integration.test_command_line import run_command

FIRST = make_drop({1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "0.5"), (2, "3", "")])
SECOND = make_drop({1: "Ann", 2: "Rob", 3: "Cyd"}, [(1, "1", "10"), (3, "2", "7")])
Command = Callable[..., tuple[int, str, str]]
TABLES = ("users", "compounds", "user_experiments")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, which the command line uses too."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def command(database: Database, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line on the test's database; returns exit status, output and errors."""
    return lambda *arguments: run_command(capsys, *arguments, "--database-url", database.url())


@pytest.fixture
def loads(database: Database, tmp_path: Path) -> tuple[str, str]:
    """Two runs: one loaded FIRST, and the other SECOND in its place."""
    first = run(database, FIRST.write(tmp_path / "first"))
    second = run(database, SECOND.write(tmp_path / "second"))
    return first["run_id"], second["run_id"]


def run(database: Database, source: Path, **options: Any) -> dict[str, Any]:
    """Runs all stages, recorded as every run is; returns the result and which files were read."""
    options = {"max_removed_percent": 100, "max_rejected_percent": 100, **options}
    pipeline = make_pipeline(database, source.parent / "workspaces", **options)
    read: list[str] = []

    def type_file(*arguments: Any) -> Any:
        read.append(arguments[2].name)
        return _type_file(*arguments)

    with patch.object(reading, "type_file", type_file):
        return asdict(run_stages(pipeline, lambda: pipeline.extract(LocalPath(source)))) | {
            "read": read
        }


_type_file = reading.type_file


def store_of(database: Database) -> PartStore:
    """The parts of a database."""
    with connect(database.url()) as connection:
        store = store_folder()
        return PartStore(store, find_database_id(connection), store / "cache")


def names_in(parts: PartStore) -> set[str]:
    """The names of all files of a store."""
    return {file.name for file in parts.files()}


def parts_of_last_load(database: Database) -> list[Any]:
    """The parts that the last load names."""
    with connect(database.url()) as connection:
        return find_load(connection).parts


def assert_intact(database: Database) -> None:
    """Asserts that all that the last load names is there as it was written."""
    parts = store_of(database)
    for part in parts_of_last_load(database):
        assert parts.is_intact(part), f"{part['part']} is missing or damaged"


def remove(database: Database, keep_days: float = 30, **options: Any) -> int:
    """Removes what nothing needs."""
    with connect(database.url()) as connection:
        return remove_old_parts(connection, store_of(database), keep_days, **options)


def age(database: Database, days: int) -> None:
    """Makes all of the ledger older."""
    database.query(
        "update features.pipeline_runs set started_at = started_at - make_interval(days => %s), "
        "finished_at = finished_at - make_interval(days => %s)",
        days,
        days,
    )


def age_files() -> None:
    """Makes all files of the store two days old."""
    for path in store_folder().rglob("*"):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)


class TestKnownFiles:
    """What is known is hashed, and not read again."""

    def test_under_another_name_or_in_another_folder(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Only a file with new bytes is read, and each row is found under its file's new name."""
        source = FIRST.write(tmp_path / "drop")
        assert len(run(database, source)["read"]) == 3
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        for path in source.iterdir():
            path.rename(elsewhere / path.name.replace(".csv", "_1.csv"))
        more = make_drop({3: "Cyd"}, [(9, "1", "1")]).write(tmp_path / "more")
        (more / "users.csv").rename(elsewhere / "users_2.csv")
        result = run(database, elsewhere)
        assert (result["status"], result["read"]) == ("loaded", ["users_2.csv"])
        assert (result["inserted"], result["unchanged"]) == (1, 2)
        assert [part["name"] for part in parts_of_last_load(database)] == [
            "users_1.csv", "users_2.csv", "compounds_1.csv", "user_experiments_1.csv",
        ]  # fmt: skip
        assert_features(
            oracle.compute(elsewhere),
            features_of(database),
            features_of(database, "compound_features"),
        )

    @pytest.mark.parametrize("compression", first_or_all(".gz", ".zst"))
    def test_compressed(self, compression: str, database: Database, tmp_path: Path) -> None:
        """A compressed file has other bytes than its content, but is known by them, too."""
        parts = tuple(File(p.table, p.suffix, p.rows, compression=compression) for p in FIRST.parts)
        source = Drop(parts).write(tmp_path / "drop")
        first, again = (run(database, source, force=True) for _ in range(2))
        assert (len(first["read"]), again["read"]) == (3, [])
        assert (again["status"], again["unchanged"]) == ("loaded", 2)

    def test_under_a_name_that_tells_of_another_compression(
        self, database: Database, tmp_path: Path
    ) -> None:
        """They are read as their name says, and refused as if nobody knew them."""
        source = FIRST.write(tmp_path / "drop")
        users, compounds = source / "users.csv", source / "compounds.csv"
        (source / "users.csv.gz").write_bytes(gzip.compress(users.read_bytes()))
        users.unlink()
        run(database, source)
        (source / "users.csv.gz").rename(users)
        with pytest.raises(DropRefused, match=r"users\.csv .*holds a gzip archive"):
            run(database, source)
        users.rename(source / "users.csv.GZ")
        assert run(database, source)["read"] == []
        compounds.rename(source / "compounds.csv.gz")
        with pytest.raises(DropRefused, match="not gzip data but text"):
            run(database, source)

    def test_copies_of_a_known_file_are_refused(self, database: Database, tmp_path: Path) -> None:
        """Though neither is read: the same rows would count twice."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        (source / "users_2.csv.gz").write_bytes(gzip.compress((source / "users.csv").read_bytes()))
        with pytest.raises(Exception, match="hold the same rows"):
            run(database, source)


class TestLostParts:
    """A part that is gone or damaged is made anew from the drop."""

    @pytest.mark.parametrize("loss", first_or_all("cut", "removed", "emptied", "altered", "all"))
    def test_makes_the_run_a_load(
        self, loss: str, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """An unchanged drop is unchanged only while its parts are as they were written."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        assert run(database, source)["status"] == "unchanged"
        (path,) = (store / "users").glob("*/*")
        content = path.read_bytes()
        altered = {"emptied": b"", "cut": content[:-9], "altered": content[:-9] + b"123456789"}
        if loss == "all":
            shutil.rmtree(store)
        elif loss == "removed":
            path.unlink()
        else:
            path.write_bytes(altered[loss])
        result = run(database, source)
        assert (result["status"], len(result["read"])) == ("loaded", 3 if loss == "all" else 1)
        assert result["unchanged"] == 2
        assert_intact(database)
        assert run(database, source)["status"] == "unchanged"

    def test_without_the_drop_what_needs_them_says_so(
        self, database: Database, store: Path, tmp_path: Path, command: Command
    ) -> None:
        """One clear line each, and nothing changed."""
        source = FIRST.write(tmp_path / "drop")
        run_id = run(database, source)["run_id"]
        shutil.rmtree(source)
        shutil.rmtree(store / "user_experiments")
        before = features_of(database)
        for arguments in (["restore", run_id], ["reproduce", run_id], ["trace", "1"]):
            status, output, errors = command(*arguments)
            assert (status, output) == (1, "")
            assert re.search(
                r"user_experiments\.csv is no longer in the store.*EXPERIMENT_FEATURES_STORE, now "
                + str(store),
                errors,
            )
        assert features_of(database) == before

    def test_a_load_whose_parts_went_meanwhile_changes_nothing(
        self, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """It must not name what is not there."""
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        compute_drop(pipeline, FIRST.write(tmp_path / "drop"))
        shutil.rmtree(store / "users")
        with pytest.raises(ConfigurationError, match=r"users\.csv are no longer in the store"):
            pipeline.load()
        assert features_of(database) == []


class TestNaming:
    """A run enters its parts before it relies on them, or ends."""

    @pytest.mark.parametrize("is_entered", [True, False])
    def test_that_changes_nothing_is_refused(
        self, is_entered: bool, database: Database, tmp_path: Path
    ) -> None:
        """The run has no entry, or a trigger discards what is written into it."""
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        if is_entered:
            update = "before update of parts on features.pipeline_runs"
            database.query(DISCARD + update + EACH_ROW, user="keeper")
        extract = extract_drop if is_entered else Pipeline.extract
        with pytest.raises(DatabaseRefused, match=r"update should have written 1 row.*wrote 0"):
            extract(pipeline, LocalPath(FIRST.write(tmp_path / "drop")))

    def test_a_place_that_is_not_entered_is_refused(
        self, database: Database, tmp_path: Path
    ) -> None:
        """A trigger discards it."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        database.query(DISCARD + "before update on features.part_store" + EACH_ROW, user="keeper")
        with pytest.raises(DatabaseRefused, match=r"features\.part_store: update should have"):
            run(database, source, store=tmp_path / "elsewhere")
        with pytest.raises(DatabaseRefused, match=r"features\.part_store: update should have"):
            migrate(database.url("keeper"), adopt_store=True)

    def test_a_name_that_was_deleted_is_given_anew(
        self, database: Database, tmp_path: Path
    ) -> None:
        """Runs are refused until then, and load their drop again."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        database.query("delete from features.part_store")
        with pytest.raises(DatabaseRefused, match=r"part_store is empty\. Run `migrate`"):
            run(database, source)
        migrate(database.url("keeper"))
        assert run(database, source)["status"] == "loaded"

    def test_a_drop_that_is_the_store_is_refused(self, database: Database, tmp_path: Path) -> None:
        """Parts would change the drop while that is read; also by a link."""
        source = FIRST.write(tmp_path / "drop")
        (tmp_path / "link").symlink_to(source)
        for store in (source, tmp_path / "link"):
            with pytest.raises(ConfigurationError, match="is also the store of parts"):
                run(database, source, store=store)
        assert {path.suffix for path in source.iterdir()} == {".csv"}


DISCARD = """
create function features.discard() returns trigger language plpgsql as 'begin return null; end';
create trigger discard """
EACH_ROW = " for each row execute function features.discard()"


class TestRemoval:
    """What neither the last load nor recent runs need goes."""

    def test_a_store_that_fails_fails_no_load(
        self,
        database: Database,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What could not be removed is left to the next load."""
        fault = Mock(side_effect=StorageUnavailable("the store is away"))
        monkeypatch.setattr("experiment_features.pipeline.remove_old_parts", fault)
        assert run(database, FIRST.write(tmp_path / "first"))["status"] == "loaded"
        assert "old parts could not be removed: the store is away" in caplog.text

    def test_after_so_many_days(self, database: Database, tmp_path: Path) -> None:
        """Days count from when a load was replaced, or a run that did not load ended."""
        run(database, FIRST.write(tmp_path / "first"))
        first = names_in(store_of(database))
        age(database, 40)
        run(database, SECOND.write(tmp_path / "second"), keep_days=1000)
        assert first <= names_in(store_of(database)), "it was in force until just now"
        age_files()
        age(database, 29)
        assert remove(database) == 0
        age(database, 2)
        assert remove(database) == 2  # the compounds are the same
        last = {part["part"] for part in parts_of_last_load(database)}
        assert names_in(store_of(database)) == last
        age(database, 1000)
        assert remove(database) == 0

    def test_a_run_in_progress_keeps_what_it_names(
        self, database: Database, tmp_path: Path
    ) -> None:
        """However old it is: also of a run that has only just found its files to be known."""
        first = FIRST.write(tmp_path / "first")
        run_id = run(database, first)["run_id"]
        age(database, 40)
        run(database, SECOND.write(tmp_path / "second"), keep_parts_days=1000)
        age_files()
        age(database, 40)
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        extract_drop(pipeline, LocalPath(first))
        assert remove(database, 0, lost_loads=[run_id]) == 0
        pipeline.validate()
        pipeline.transform()
        pipeline.load()
        assert_intact(database)

    def test_of_what_nothing_names(self, database: Database, store: Path, tmp_path: Path) -> None:
        """Files and drafts stay for a day, because a run may be about to name them."""
        run(database, FIRST.write(tmp_path / "drop"))
        parts = store_of(database)
        named = names_in(parts)
        names = (f"{'0' * 64}.v1.0.parquet", ".draft-1.parquet", ".draft-1.others")
        for name in names:
            (store / "users" / parts.database_id / name).write_bytes(b"half")
        assert remove(database) == 0
        assert remove(database, 0, lost_loads=[]) == 1  # drafts are being written
        age_files()
        assert remove(database) == 2
        assert names_in(parts) == named

    def test_at_a_strict_default_isolation(
        self, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """A removal that waited sees what was named meanwhile."""
        database.query(
            f"alter database {database.name} set default_transaction_isolation = 'serializable'"
        )
        first = FIRST.write(tmp_path / "first")
        run(database, first)
        run(database, SECOND.write(tmp_path / "second"))
        age_files()
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        with recorded(pipeline.connect, pipeline.run, "extract"), database.connect() as other:
            other.execute("select pg_advisory_xact_lock(hashtext('experiment_features.store'))")
            thread = threading.Thread(target=remove, args=(database, 0))
            thread.start()
            await_waiting(database)
            other.execute(
                "update features.pipeline_runs set parts = (select parts "
                "from features.pipeline_runs where status = 'loaded' order by started_at limit 1) "
                "where status = 'running'"
            )
            other.commit()
            thread.join(60)
            assert len(list(store.rglob("*.parquet"))) == 5
            assert pipeline.extract(LocalPath(first)).parts
        pipeline.validate()
        pipeline.transform()
        pipeline.load()
        assert_intact(database)


def await_waiting(database: Database) -> None:
    """Waits until a session waits for an advisory lock."""
    deadline = time.monotonic() + 30
    while not database.value("select count(*) from pg_locks where not granted"):
        assert time.monotonic() < deadline, "no session has waited for a lock within 30 s"
        time.sleep(0.02)


class TestDatabases:
    """Each database has parts of its own."""

    def test_two_databases_share_nothing(
        self, server: Server, database: Database, tmp_path: Path
    ) -> None:
        """Both read the same drop, and a removal in one leaves those of the other."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        with server.database(f"{database.name}_other") as other:
            assert len(run(other, source)["read"]) == 3
            assert store_of(other).database_id != store_of(database).database_id
            run(other, SECOND.write(tmp_path / "second"))
            age_files()
            assert remove(other, 0) == 2
            assert_intact(other)
        assert_intact(database)

    def test_a_copy_is_refused_until_it_takes_the_parts_over(
        self,
        server: Server,
        database: Database,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It would remove the parts of the other; with a store of its own it may load."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        others = [f"{database.name}_{name}" for name in ("a", "b")]
        with (
            server.database(others[0], database.name) as adopting,
            server.database(others[1], database.name) as moving,
        ):
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="migrate --adopt-store"):
                    run(adopting, source)
            for of in (adopting, database):  # prune only looks
                monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "elsewhere"))
                before = of.query("select * from features.part_store")
                url = ["--database-url", of.url()]
                assert run_command(capsys, "store", "prune", "--yes", *url)[0] == 1
                assert of.query("select * from features.part_store") == before
            monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "store"))
            migrate(adopting.url("keeper"))
            with pytest.raises(ConfigurationError, match="is a copy of another one"):
                run(adopting, source)
            migrate(adopting.url("keeper"), adopt_store=True)
            assert run(adopting, source)["status"] == "unchanged"
            result = run(moving, source, store=tmp_path / "store of its own")
            assert (result["status"], len(result["read"])) == ("loaded", 3)
            assert len(run(moving, source)["read"]) == 3, "back in the store, it shares nothing"
        assert run(database, source)["status"] == "unchanged"


class TestFullStore:
    """A store that cannot be written ends the run, and nothing has changed."""

    def test_names_the_store(
        self, database: Database, store: Path, tmp_path: Path, command: Command
    ) -> None:
        """Exit status 4, and no draft is left to fill it; files may have 4 kB, all that is left."""
        run(database, FIRST.write(tmp_path / "first"))
        before, files = features_of(database), names_in(store_of(database))
        large = make_drop({i: f"user {i * 7919}" for i in range(1, 3000)}).write(tmp_path / "large")
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, most))
        try:
            status, output, errors = command("run", large, "--allow-empty")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert (status, output) == (4, "")
        assert str(store) in errors
        assert "`store prune`" in errors
        assert (features_of(database), names_in(store_of(database))) == (before, files)

    def test_that_is_no_folder(
        self, database: Database, store: Path, tmp_path: Path, command: Command
    ) -> None:
        """As one that may not be written."""
        store.write_text("a file")
        status, _output, errors = command("run", FIRST.write(tmp_path / "drop"))
        assert status == 4
        assert f"the store of parts {store} cannot be used" in errors
        assert features_of(database) == []

    def test_that_is_a_broken_link_is_named_itself(
        self, store: Path, tmp_path: Path, command: Command
    ) -> None:
        """And not the folder that it is in."""
        store.symlink_to(tmp_path / "gone")
        status, _output, errors = command("run", FIRST.write(tmp_path / "drop"))
        assert status == 4
        assert errors.rstrip().endswith(f"move away or remove {store}")

    @pytest.mark.parametrize("place", first_or_all("part", "table"))
    def test_names_what_is_in_the_way(
        self, place: str, database: Database, store: Path, tmp_path: Path, command: Command
    ) -> None:
        """A folder in the place of a part, or a file in that of a folder; then all is well again."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        (part,) = (store / "users").glob("*/*")
        if place == "part":
            part.unlink()
            (part / "mine").mkdir(parents=True)
        else:
            shutil.rmtree(store / "users")
            (store / "users").write_text("a file")
        in_the_way = part if place == "part" else store / "users"
        status, _, errors = command("run", source, "--force")
        assert status == 4
        assert errors.rstrip().endswith(f"move away or remove {in_the_way}")
        shutil.rmtree(in_the_way) if in_the_way.is_dir() else in_the_way.unlink()
        assert run(database, source, force=True)["status"] == "loaded"
        assert_intact(database)


def pipeline_of(database: Database, folder: Path, run_id: str, **options: Any) -> Pipeline:
    """What computes a load again, as the command does."""
    with connect(database.url()) as connection:
        fields = run_fields(find_load(connection, run_id))
    fields |= {"max_rejected_percent": 100, **options}
    return replace(make_pipeline(database, folder / "again", **fields), is_dry_run=True)


def assert_reproduced(database: Database, folder: Path, run_id: str, **options: Any) -> Any:
    """Asserts that a load comes out the same; returns the reproduction."""
    with connect(database.url()) as connection:
        load = find_load(connection, run_id)
    found = reproduce(pipeline_of(database, folder, run_id, **options), load)
    assert found.is_equal, found.as_json()
    return found


class TestReproduce:
    """An earlier load is computed again, and compared."""

    @pytest.mark.parametrize("engine", first_or_all("duckdb", "pandas"))
    def test_on_each_engine(
        self, engine: str, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """However faulty the drop was; and no single byte of a part may differ."""
        source = every_fault().write(tmp_path / "drop")
        run_id = run(database, source, engine=engine)["run_id"]
        other = {"pandas": "duckdb", "duckdb": "pandas"}[engine]
        found = assert_reproduced(database, tmp_path, run_id, engine=other)
        assert int(found.issues_sha256, 16)
        assert [change for change in found.changes if "engine" not in change] == []
        (path,) = (store / "users").glob("*/*")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"is no longer in the store, or is"):
            assert_reproduced(database, tmp_path, run_id)

    def test_says_what_is_not_as_it_was(
        self, database: Database, loads: tuple[str, str], command: Command
    ) -> None:
        """Versions that changed; and features of then that are not what their parts give."""
        run_id, _ = loads
        for engine in ("pandas", "duckdb"):
            status, output, _ = command("reproduce", run_id, "--engine", engine, "--json")
            found = json.loads(output)
            assert (status, found["equal"], found["engine"]) == (0, True, engine)
            assert [change for change in found["changes"] if "engine" not in change] == []
        database.query(
            "update features.pipeline_runs set code_version = 'c0de', definition_version = 1, "
            "lock_sha256 = '10c4', python_version = '3.2.1' where run_id = %s",
            run_id,
        )
        status, output, _ = command("reproduce", run_id)
        assert status == 0
        for change in ("code: c0de then", "rules and features: 1 then", "locked requirements: 10c4",
                       "Python: 3.2.1 then"):  # fmt: skip
            assert change in output
        database.query("update features.pipeline_runs set issues_sha256 = '0' where run_id = %s",
                       run_id)  # fmt: skip
        status, output, _ = command("reproduce", run_id, "--json")
        assert (status, json.loads(output)["equal"]) == (1, False)
        database.query("update features.pipeline_runs set features_sha256 = '0' where run_id = %s",
                       run_id)  # fmt: skip
        database.query(
            "update features.user_features_past set total_experiments = 7 where user_id = 2"
        )
        database.query("delete from features.compound_features_past where compound_id = 3")
        status, output, _ = command("reproduce", run_id, "--json")
        found = json.loads(output)
        assert (status, found["equal"]) == (1, False)
        assert found["differences"] == [
            {"relation": "user_features", "id": 2, "then": {"total_experiments": 7},
             "now": {"total_experiments": 2}},
            {"relation": "compound_features", "id": 3, "then": None,
             "now": {"compound_id": 3, "compound_name": "Methane", "total_experiments": 2,
                     "total_users": 1}},
        ]  # fmt: skip
        status, output, _ = command("reproduce", run_id)
        assert status == 1
        assert 'user_features 2: {"total_experiments": 7} then' in output

    def test_shows_ten_rows_in_all(
        self, database: Database, tmp_path: Path, command: Command
    ) -> None:
        """First users, then compounds."""
        users = {i: f"user {i}" for i in range(1, 9)}
        drop = make_drop(users, [(i, "1", "1") for i in users])
        run_id = run(database, drop.write(tmp_path / "drop"))["run_id"]
        database.query("update features.pipeline_runs set features_sha256 = '0'")
        database.query("update features.user_features set total_experiments = 77")
        database.query("update features.compound_features set total_experiments = 77")
        status, output, _ = command("reproduce", run_id, "--json")
        assert status == 1
        assert [(row["relation"], row["id"]) for row in json.loads(output)["differences"]] == [
            *(("user_features", i) for i in users),
            *(("compound_features", i) for i in (1, 2)),
        ]

    def test_compares_the_features_of_then(
        self,
        database: Database,
        tmp_path: Path,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """One that came later is left out."""
        features = USER_FEATURES.features
        later = next(each for each in features if each.name == "average_experiment_run_time")
        others = tuple(each for each in features if each is not later)
        monkeypatch.setitem(vars(USER_FEATURES), "features", others)
        run_id = run(database, FIRST.write(tmp_path / "drop"))["run_id"]
        now = (*others, replace(later, since=3))
        monkeypatch.setitem(vars(USER_FEATURES), "features", now)
        monkeypatch.setattr(reproduction, "DEFINITION_VERSION", 3)
        found = assert_reproduced(database, tmp_path, run_id)
        assert "rules and features: 2 then, 3 now" in found.changes
        database.query("update features.pipeline_runs set features_sha256 = '0'")
        database.query("update features.user_features set total_experiments = 7 where user_id = 2")
        status, output, _ = command("reproduce", run_id, "--json")
        assert (status, json.loads(output)["differences"]) == (1, [
            {"relation": "user_features", "id": 2, "then": {"total_experiments": 7},
             "now": {"total_experiments": 2}},
        ])  # fmt: skip

    @pytest.mark.parametrize("version", [0, 99])
    def test_refuses_features_that_are_not_computed(
        self,
        version: int,
        database: Database,
        tmp_path: Path,
        command: Command,
    ) -> None:
        """Some have been removed since, or came with a later version of the program."""
        run_id = run(database, FIRST.write(tmp_path / "drop"))["run_id"]
        database.query("update features.pipeline_runs set definition_version = %s", version)
        status, output, errors = command("reproduce", run_id)
        assert (status, output) == (1, "")
        assert f"it has features of version {version}, and this program computes" in errors
        assert errors.count("\n") == 1

    def test_refuses_a_load_by_an_earlier_version(
        self, database: Database, tmp_path: Path, command: Command
    ) -> None:
        """Which recorded neither digests nor parts."""
        run_id = run(database, FIRST.write(tmp_path / "first"))["run_id"]
        database.query(
            "update features.pipeline_runs set parts = '[]', features_sha256 = null, "
            "issues_sha256 = null, python_version = null, engine_version = null"
        )
        for arguments, message in {
            ("reproduce", run_id): "did not record the digests",
            ("restore", run_id): "is not in the store: it was loaded by an earlier version",
            ("trace", "1"): "is not in the store: it was loaded by an earlier version",
            ("reproduce", "nonsense"): "the ledger has no run nonsense",
        }.items():
            status, output, errors = command(*arguments)
            assert (status, output) == (1, ""), arguments
            assert message in errors


class TestRestore:
    """What an earlier run had loaded is loaded again."""

    def test_undoes_a_load(
        self, database: Database, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Features, digests and history; and the restored load can be restored again."""
        users = {i: f"user {i}" for i in range(1, 40)}
        first = make_drop(users, [(i, "1", "1") for i in users]).write(tmp_path / "first")
        first_id = run(database, first, today=date(2026, 1, 2))["run_id"]
        rows = comparable(database)
        second = SECOND.write(tmp_path / "second")
        second_id = run(database, second)["run_id"]
        shutil.rmtree(first)
        before = everything(database)
        status, output, _ = command("restore", first_id, "--dry-run", "--json")
        assert (status, json.loads(output)["inserted"]) == (0, 36)
        with monkeypatch.context() as changed:
            changed.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "elsewhere"))
            assert command("restore", first_id, "--dry-run")[0] == 1
        assert everything(database) == before
        restored = restore(command, first_id)
        assert comparable(database) == rows
        then, now = (run_of(database, run_id) for run_id in (first_id, restored))
        same = ("features_sha256", "issues_sha256", "source_files", "source", "today", "users",
                "average_experiments_per_user", "rejected_rows", "warnings")  # fmt: skip
        assert {name: now[name] for name in same} == {name: then[name] for name in same}
        assert now["status"] == "loaded"
        assert now["parameters"]["restored_run"] == first_id
        assert now["parameters"]["max_rejected_percent"] == 100
        periods = database.query(
            "select run_id, valid_to is null as lasts from features.user_features_history "
            "where user_id = 2 order by valid_from"
        )
        assert [(row["run_id"], row["lasts"]) for row in periods] == [
            (first_id, False), (second_id, False), (restored, True),
        ]  # fmt: skip
        status, _, errors = command("restore", second_id)
        assert (status, comparable(database)) == (1, rows)
        assert "max_removed_percent" in errors
        restore(command, second_id, "--max-removed-percent", "100")
        assert comparable(database) != rows
        restore(command, restored)
        assert comparable(database) == rows

    def test_stays_until_a_run_names_a_source(
        self, database: Database, loads: tuple[str, str], tmp_path: Path, command: Command
    ) -> None:
        """The daily run must not load again what was taken back."""
        first_id, _ = loads
        restored = restore(command, first_id)
        daily = make_pipeline(database, tmp_path / "workspaces")
        with pytest.raises(NothingToDo, match=f"run {restored} has restored what run {first_id}"):
            daily.known_drops.last_source()
        result = run(database, tmp_path / "first")
        assert (result["status"], result["unchanged"]) == ("loaded", 2)
        assert daily.known_drops.last_source() == str(tmp_path / "first")
        assert run(database, tmp_path / "second")["status"] == "loaded"
        assert daily.known_drops.last_source() == str(tmp_path / "second")


def rename_parts(database: Database, reader: int) -> None:
    """Makes all parts those of another version of the reader."""
    for path in store_folder().rglob("*.v1.*"):
        path.rename(path.with_name(path.name.replace(".v1.", f".v{reader}.")))
    database.query(
        "update features.pipeline_runs set parts = replace(parts::text, '.v1.', %s)::jsonb",
        f".v{reader}.",
    )


class TestReaderVersions:
    """Parts by another version of the reader."""

    def test_older_parts_are_brought_up_from_themselves(
        self,
        database: Database,
        tmp_path: Path,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The drop is gone; a dry run leaves the store as it is, and a load adds to it."""
        source = every_fault().write(tmp_path / "drop")
        for number in (8, 9):  # equal files share a part
            (source / f"compounds_{number}.csv").write_text(",".join(COLUMNS["compounds"]) + "\n")
        first_id = run(database, source)["run_id"]
        rows = comparable(database)
        rename_parts(database, 0)
        run(database, SECOND.write(tmp_path / "second"))
        shutil.rmtree(source)
        parts = store_of(database)
        before = names_in(parts)
        older = {name for name in before if ".v0." in name}
        found = assert_reproduced(database, tmp_path, first_id)
        assert "reader: version 0 then, version 1 now" in found.changes
        extra = Column("extra", Kind.TEXT, "came later", is_optional=True)
        with monkeypatch.context() as later:
            columns = (*USER_EXPERIMENTS.columns, extra)
            later.setitem(vars(USER_EXPERIMENTS), "columns", columns)
            assert command("trace", "1", "--run", first_id)[0] == 0
            assert_reproduced(database, tmp_path, first_id)
        guard = ["--max-removed-percent", "100"]
        assert command("restore", first_id, *guard, "--dry-run")[0] == 0
        assert names_in(parts) == before
        restored = restore(command, first_id, *guard)
        assert comparable(database) == rows
        then, now = (run_of(database, run_id) for run_id in (first_id, restored))
        same = ("features_sha256", "issues_sha256", "source_files", "rejected_rows", "warnings")
        assert {name: now[name] for name in same} == {name: then[name] for name in same}
        new = {part["part"] for part in parts_of_last_load(database)}
        assert names_in(parts) == before | new
        assert [name for name in new if ".v1." not in name] == []
        assert_intact(database)
        assert_reproduced(database, tmp_path, restored)
        age_files()
        remove(database)
        assert older <= names_in(parts), "the first load is recent"
        remove(database, 0)
        assert names_in(parts) == new

    def test_newer_parts_are_left_to_newer_programs(
        self, database: Database, tmp_path: Path, command: Command
    ) -> None:
        """What needs them says so in one line; a drop that is there is read again."""
        source = FIRST.write(tmp_path / "drop")
        run_id = run(database, source)["run_id"]
        rename_parts(database, 9)
        before = features_of(database)
        for arguments in (["restore", run_id], ["reproduce", run_id], ["trace", "1"]):
            status, output, errors = command(*arguments)
            assert (status, output, errors.count("\n")) == (1, "", 1)
            assert re.search(r"version 9 of the reader.* does not know: update it", errors)
        assert features_of(database) == before
        result = run(database, source)
        assert (result["status"], len(result["read"])) == ("loaded", 3)


def restore(command: Command, run_id: str, *options: str) -> str:
    """Restores a load by the command line; returns the new run's id."""
    status, output, errors = command("restore", run_id, "--json", *options)
    assert (status, errors) == (0, "")
    result = json.loads(output)
    assert result["status"] == "loaded"
    return str(result["run_id"])


def comparable(database: Database) -> list[dict[str, Any]]:
    """The features, without run and time."""
    return [
        {name: value for name, value in row.items() if name not in ("run_id", "updated_at")}
        for relation in ("user_features", "compound_features")
        for row in features_of(database, relation)
    ]


def everything(database: Database) -> list[list[dict[str, Any]]]:
    """All that a run could change."""
    tables = ("user_features", "pipeline_runs", "data_issues", "part_store", "user_features_past")
    return [features_of(database, table) for table in tables]


class TestPrune:
    """What only older runs need goes at once."""

    def test_asks_and_names_them(
        self,
        database: Database,
        loads: tuple[str, str],
        store: Path,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Afterwards, what needs them says so, and the last load has all of its parts."""
        first_id, last_id = loads
        files = names_in(store_of(database))
        monkeypatch.setattr("sys.stdin", StringIO("n\n"))
        status, output, errors = command("store", "prune")
        assert (status, output) == (0, "")
        assert f"reproduced or restored: {first_id}\n" in errors
        assert errors.endswith("[y/N] nothing was removed\n")
        assert names_in(store_of(database)) == files
        monkeypatch.setattr("sys.stdin", StringIO("y\n"))
        status, output, _ = command("store", "prune")
        assert (status, output) == (0, f"removed 2 files from {store}\n")
        assert_intact(database)
        status, output, errors = command("store", "prune")  # does not ask
        assert (status, output, errors) == (0, f"removed 0 files from {store}\n", "")
        for arguments in (["trace", "1", "--run"], ["reproduce"], ["restore"]):
            status, _, errors = command(*arguments, first_id)
            assert status == 1
            assert f"what run {first_id} read from" in errors
        for arguments in (["trace", "1", "--run"], ["reproduce"]):
            assert command(*arguments, last_id)[0] == 0

    @pytest.mark.usefixtures("loads")
    def test_is_refused_to_those_who_only_read(
        self, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Though the store may be open to them."""
        files = names_in(store_of(database))
        for user in ("analyst", "steward"):
            status, _, errors = run_command(
                capsys, "store", "prune", "--yes", "--database-url", database.url(user)
            )
            assert (status, errors.count("\n")) == (3, 1)
            assert "permission denied for table part_store" in errors
        assert names_in(store_of(database)) == files

    @pytest.mark.usefixtures("loads")
    def test_leaves_what_is_not_of_the_store(
        self, database: Database, store: Path, command: Command
    ) -> None:
        """Files and folders of others, however they got there."""
        folder = store / "users" / store_of(database).database_id
        (folder / "users.csv").write_text("user_id")
        (folder / f"{'0' * 64}.v1.{'0' * 16}.parquet").mkdir()
        age_files()
        assert command("store", "prune", "--yes")[:2] == (0, f"removed 2 files from {store}\n")
        assert (folder / "users.csv").exists()

    def test_a_load_that_was_not_named_stays(
        self,
        database: Database,
        loads: tuple[str, str],
        store: Path,
        tmp_path: Path,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Though another one has replaced it between the question and the answer."""
        first_id, second_id = loads

        def answer() -> str:
            third = make_drop({4: "Dan"}, [(4, "1", "1")]).write(tmp_path / "third")
            assert run(database, third)["status"] == "loaded"
            return "y\n"

        monkeypatch.setattr("sys.stdin", Mock(readline=answer))
        status, output, errors = command("store", "prune")
        assert f"restored: {first_id}\n" in errors
        assert (status, output) == (0, f"removed 2 files from {store}\n")
        assert_reproduced(database, tmp_path, second_id)
        assert_intact(database)

    @pytest.mark.usefixtures("loads")
    def test_yes_does_not_ask(self, store: Path, command: Command) -> None:
        """For scripts."""
        assert command("store", "prune", "--yes") == (0, f"removed 2 files from {store}\n", "")

    def test_a_person_whom_a_delta_has_deleted_stays_until_a_snapshot_is_loaded(
        self, database: Database, store: Path, tmp_path: Path, command: Command
    ) -> None:
        """The delta stands on the drop with the person; what is exported has none."""

        def users() -> set[str]:
            parts = [pq.read_table(path) for path in (store / "users").rglob("*.parquet")]
            return {
                name
                for part in parts
                if "name" in part.column_names
                for name in part["name"].to_pylist()
            }

        run(database, FIRST.write(tmp_path / "first"))
        gone = [File("deleted_users", "", (Row(("2",)),))]
        gone += [File("deleted_user_experiments", "", (Row(("2",)), Row(("3",))))]
        run(database, Drop(tuple(gone)).write(tmp_path / "delta"), mode="delta")
        command("store", "prune", "--yes")
        assert users() == {"Ann", "Bob"}
        exported = tmp_path / "exported"
        assert command("state", "--export", exported)[0] == 0
        assert run(database, exported, mode="snapshot")["status"] == "loaded"
        command("store", "prune", "--yes")
        assert users() == {"Ann"}

    @pytest.mark.usefixtures("loads")
    def test_a_copy_removes_nothing(
        self,
        server: Server,
        database: Database,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It does not know what the original needs."""
        with server.database(f"{database.name}_copy", database.name) as copy:
            copy.query("delete from features.pipeline_runs")
            arguments = ["store", "prune", "--yes", "--database-url", copy.url()]
            status, _, errors = run_command(capsys, *arguments)
        assert (status, "is a copy of another one" in errors) == (1, True)
        assert_intact(database)


def test_a_load_that_was_in_force_for_long_can_be_restored(
    database: Database, tmp_path: Path
) -> None:
    """Its age counts from when it was replaced."""
    first_id = run(database, FIRST.write(tmp_path / "first"))["run_id"]
    database.query(
        "update features.pipeline_runs set started_at = started_at - interval '200 days', "
        "finished_at = finished_at - interval '200 days'"
    )
    age_files()
    run(database, SECOND.write(tmp_path / "second"))
    with connect(database.url()) as connection:
        assert find_load(connection, first_id).run_id == first_id
    assert_reproduced(database, tmp_path, first_id)


def test_state(database: Database, store: Path, tmp_path: Path, command: Command) -> None:
    """What is in force, and what the store holds."""
    status, _, errors = command("state")
    assert (status, "nothing has been loaded yet: load a drop first" in errors) == (1, True)
    run(database, FIRST.write(tmp_path / "first"))
    source = SECOND.write(tmp_path / "second")
    result = run(database, source)
    status, output, _ = command("state", "--json")
    found = json.loads(output)
    assert status == 0
    assert (found["run_id"], found["source"]) == (result["run_id"], str(source))
    assert [(file["name"], file["rows"]) for file in found["layers"][0]["parts"]] == [
        ("users.csv", 3), ("compounds.csv", 3), ("user_experiments.csv", 2),
    ]  # fmt: skip
    sizes = [path.stat().st_size for path in store.rglob("*.parquet")]
    assert (found["store"], found["store_files"], found["store_bytes"]) == (
        str(store),
        5,
        sum(sizes),
    )
    assert 0 < found["needed_bytes"] < found["store_bytes"]
    status, output, _ = command("state")
    assert status == 0
    assert f"{found['store_bytes']:,} bytes in 5 files" in output
    assert (found["missing_files"], "missing" in output) == (0, False)
    for path in store.rglob("*.parquet"):
        path.unlink()
    assert command("state")[1].endswith("drops are still there\n")
    assert json.loads(command("state", "--json")[1])["missing_files"] == 3


def test_state_after_deletions(
    database: Database,
    store: Path,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is missing, and the folder of the experiments, which the page has, is enough to trace."""
    monkeypatch.setattr(compaction, "MOST_LAYERS", 1)
    run(database, FIRST.write(tmp_path / "first"))
    gone = [File("deleted_users", "", (Row(("2",)),))]
    gone += [File("deleted_user_experiments", "", (Row(("2",)), Row(("3",))))]
    run(database, Drop(tuple(gone)).write(tmp_path / "second"), mode="delta")
    third = Drop((File("deleted_compounds", "", (Row(("3",)),)),)).write(tmp_path / "third")
    run(database, third, mode="delta")
    found = json.loads(command("state", "--json")[1])
    assert ["compacted" in layer for layer in found["layers"]] == [False, True, False]
    sizes = [path.stat().st_size for path in store.rglob("*.parquet")]
    assert (found["store_files"], found["store_bytes"]) == (9, sum(sizes))
    assert (found["needed_bytes"], found["missing_files"]) == (sum(sizes), 0)
    assert {path.name for path in store.iterdir()} == {*TABLES}
    for table in ("users", "compounds"):
        shutil.rmtree(store / table)
    assert command("trace", "1")[0] == 0


class TestFaults:
    """Processes that are killed, and that work at once."""

    @pytest.fixture
    def sources(self, tmp_path: Path) -> list[str]:
        """Three drops, which share compounds."""
        drops = [
            make_drop(
                {i: f"{name}{i}" for i in range(1, 200)},
                [(i, "1;2", str(number)) for i in range(1, 200)],
            )
            for number, name in enumerate("ABC")
        ]
        return [str(drop.write(tmp_path / str(n))) for n, drop in enumerate(drops)]

    def start(self, database: Database, store: Path, folder: Path, sources: list[str]) -> Any:
        """Starts a process that loads and removes."""
        return start_process(load_and_remove, database.url(), str(store), str(folder), sources)

    @pytest.mark.thorough
    def test_killed_at_any_moment(
        self,
        database: Database,
        store: Path,
        tmp_path: Path,
        sources: list[str],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Two at once, each killed again and again: never a reference to what is not there.

        PARTS_KILLS asks for more kills.
        """
        rng = Random(23)  # noqa: S311
        looks = 0
        running = [self.start(database, store, tmp_path / f"work{n}", sources) for n in range(2)]
        for number in range(int(os.environ.get("PARTS_KILLS", "4"))):
            victim = running[number % 2]
            await_runs(database, victim.pid)
            time.sleep(rng.uniform(0, 4))
            victim.kill()
            victim.join(60)
            with locked(database):
                if database.query("select 1 from features.pipeline_runs where status = 'loaded'"):
                    assert_intact(database)
                    looks += 1
            sources = sources[1:] + sources[:1]
            running[number % 2] = self.start(database, store, tmp_path / f"work{number}", sources)
        for process in running:
            process.kill()
            process.join(60)
        for path in store.rglob("*.v*.parquet"):
            digest = sha256(path.read_bytes()).hexdigest()
            assert f".{digest[:16]}." in path.name, f"{path} is half a part"
        assert looks > 0
        for source in sources:
            assert run(database, Path(source), force=True)["status"] == "loaded"
            assert_intact(database)
        with capsys.disabled():
            entries = database.value("select count(*) from features.pipeline_runs")
            print(f"\nlooked {looks} times; {entries} runs in the ledger")


def await_runs(database: Database, pid: int) -> None:
    """Waits until a process has begun a run."""
    deadline = time.monotonic() + 60
    query = "select count(*) from features.pipeline_runs where starts_with(run_id, %s)"
    while not database.value(query, f"run_{pid}_"):
        assert time.monotonic() < deadline, f"process {pid} has begun no run within 60 s"
        time.sleep(0.02)


@contextlib.contextmanager
def locked(database: Database) -> Iterator[None]:
    """Keeps loads and removals away."""
    with database.connect() as connection:
        for lock in ("load", "store"):
            connection.execute(
                "select pg_advisory_xact_lock(hashtext(%s))", (f"experiment_features.{lock}",)
            )
        yield


@st.composite
def actions(draw: st.DrawFn) -> list[tuple[str, int, Any]]:
    """What happens to two databases on one store: loads of drops that share files, and losses."""
    kinds = st.sampled_from(["load", "load", "load", "rename", "lose", "damage", "remove"])
    return [
        (draw(kinds), draw(st.integers(0, 1)), draw(st.tuples(*[st.integers(0, 2)] * 3)))
        for _ in range(draw(st.integers(3, 6)))
    ]


@pytest.mark.timeout(600)
@given(steps=actions(), engine=st.sampled_from(["pandas", "duckdb"]))
@settings(
    max_examples=cases(4),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_sequence_on_two_databases(
    steps: list[tuple[str, int, Any]],
    engine: str,
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Features are the oracle's, each load comes out the same again, and no part is missing."""
    folder = tmp_path_factory.mktemp("steps")
    store = folder / "store"
    names = [f"store_{next(_numbers)}" for _ in range(2)]
    with (
        patch.dict(os.environ, EXPERIMENT_FEATURES_STORE=str(store)),
        server.database(names[0]) as a,
        server.database(names[1]) as b,
    ):
        loads: dict[Database, str] = {}
        for number, (kind, which, choice) in enumerate(steps):
            database = (a, b)[which]
            if kind in ("lose", "damage"):
                paths = sorted(store.rglob("*.parquet"))
                for path in paths[choice[0] :: 3]:
                    path.unlink() if kind == "lose" else path.write_bytes(b"damaged")
                loads.clear()
                continue
            if kind == "remove":
                age_files()
                remove(database, 0)
                continue
            source = folder / f"drop {number}"
            source.mkdir()
            suffix = "_renamed" if kind == "rename" else ""
            for table, variant in zip(TABLES, choice, strict=True):
                (source / f"{table}{suffix}.csv").write_bytes(VARIANTS[table][variant])
            result = run(database, source, engine=engine)
            assert_features(
                oracle.compute(source),
                features_of(database),
                features_of(database, "compound_features"),
            )
            assert_intact(database)
            loads |= {database: result["run_id"]} if result["status"] == "loaded" else {}
        for database, run_id in loads.items():
            assert_reproduced(database, folder, run_id)


VARIANTS = {
    part.table: [
        render(part.table, rows, part.dialect)
        for rows in (
            part.rows,
            part.rows[:-1],
            (
                *part.rows,
                Row(tuple("9" if n == 0 else cell for n, cell in enumerate(part.rows[0].cells))),
            ),
        )
    ]
    for part in FIRST.parts
}
"""Of each table three files, to be combined."""


_numbers = itertools.count(1)
