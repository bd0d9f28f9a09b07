"""The store of parts: what is read once is known, and nothing that the ledger names is removed."""

import contextlib
import gzip
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
from comparison import assert_features
from drops import Drop
from drops import Part as File
from experiment_features.command_line import main
from experiment_features.errors import ConfigurationError, NothingToDo, StorageUnavailable
from experiment_features.load.database import connect
from experiment_features.load.loads import find_load
from experiment_features.load.migrate import migrate
from experiment_features.load.part_store import find_database_id, remove_old_parts
from experiment_features.pipeline import Pipeline, recorded
from experiment_features.reading import extract as reading
from experiment_features.reproduction import reproduce, run_fields
from experiment_features.store.parts import PartStore
from integration.arena import PROCESSES
from integration.running import features_of, make_drop, make_pipeline, run_of
from integration.servers import Database, Server
from integration.test_command_line import run_command

FIRST = make_drop({1: "Ann", 2: "Bob"}, [(1, "1;2", "10"), (2, "3", "0.5"), (2, "3", "")])
SECOND = make_drop({1: "Ann", 2: "Rob", 3: "Cyd"}, [(1, "1", "10"), (3, "2", "7")])
TABLES = ("users", "compounds", "user_experiments")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, which the command line uses too."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def run(database: Database, source: Path, **options: Any) -> dict[str, Any]:
    """Runs all stages, recorded as every run is; returns the result and which files were read."""
    options = {"max_removed_percent": 100, "max_rejected_percent": 100, **options}
    pipeline = make_pipeline(database, source.parent / "workspaces", **options)
    read: list[str] = []

    def type_file(*arguments: Any) -> Any:
        read.append(arguments[2].name)
        return _type_file(*arguments)

    with patch.object(reading, "type_file", type_file):
        return asdict(run_stages(pipeline, lambda: pipeline.extract(reading_path(source)))) | {
            "read": read
        }


_type_file = reading.type_file


def reading_path(source: Path) -> Any:
    """The folder of a drop, as a run has it."""
    from experiment_features.drop.local_path import LocalPath

    return LocalPath(source)


def run_stages(pipeline: Pipeline, extract: Callable[[], Any]) -> Any:
    """Runs all stages, each recorded in the ledger."""
    stages = {
        "extract": extract,
        "validate": pipeline.validate,
        "transform": pipeline.transform,
        "load": pipeline.load,
    }
    for stage, call in stages.items():
        with recorded(pipeline.connect, pipeline.run, stage):
            done = call()
    return done


def store_of(database: Database, store: Path) -> PartStore:
    """The parts of a database."""
    with connect(database.url()) as connection:
        return PartStore(store, find_database_id(connection), store / "cache")


def names_in(parts: PartStore) -> set[str]:
    """The names of all files of a store."""
    return {file.name for file in parts.files()}


def parts_of_last_load(database: Database) -> list[Any]:
    """The parts that the last load names."""
    with connect(database.url()) as connection:
        return find_load(connection).parts


def assert_intact(database: Database, store: Path) -> None:
    """Asserts that all that the last load names is there as it was written."""
    parts = store_of(database, store)
    for part in parts_of_last_load(database):
        assert parts.is_intact(part), f"{part['part']} is missing or damaged"


def remove(database: Database, store: Path, keep_days: float = 30, **options: Any) -> int:
    """Removes what nothing needs."""
    with connect(database.url()) as connection:
        return remove_old_parts(connection, store_of(database, store), keep_days, **options)


def age(database: Database, days: int) -> None:
    """Makes all of the ledger older."""
    database.query(
        "update features.pipeline_runs set started_at = started_at - make_interval(days => %s), "
        "finished_at = finished_at - make_interval(days => %s)",
        days,
        days,
    )


def age_files(store: Path) -> None:
    """Makes all files of a store two days old."""
    for path in store.rglob("*"):
        os.utime(path, (time.time() - 2 * 86_400,) * 2)


class TestKnownFiles:
    """What is known is hashed, and not read again."""

    def test_under_another_name_or_in_another_folder(
        self, database: Database, store: Path, tmp_path: Path
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

    @pytest.mark.parametrize("compression", [".gz", ".zst"])
    def test_compressed(
        self, compression: str, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """A compressed file has other bytes than its content, but is known by them, too."""
        parts = tuple(File(p.table, p.suffix, p.rows, compression=compression) for p in FIRST.parts)
        source = Drop(parts).write(tmp_path / "drop")
        first, again = (run(database, source, force=True) for _ in range(2))
        assert (len(first["read"]), again["read"]) == (3, [])
        assert (again["status"], again["unchanged"]) == ("loaded", 2)

    def test_copies_of_a_known_file_are_refused(
        self, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """Though neither is read: the same rows would count twice."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        (source / "users_2.csv.gz").write_bytes(gzip.compress((source / "users.csv").read_bytes()))
        with pytest.raises(Exception, match="hold the same rows"):
            run(database, source)


class TestLostParts:
    """A part that is gone or damaged is made anew from the drop."""

    @pytest.mark.parametrize("loss", ["removed", "emptied", "cut", "altered", "all"])
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
        assert_intact(database, store)
        assert run(database, source)["status"] == "unchanged"

    def test_without_the_drop_what_needs_them_says_so(
        self,
        database: Database,
        store: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """One clear line each, and nothing changed."""
        source = FIRST.write(tmp_path / "drop")
        run_id = run(database, source)["run_id"]
        shutil.rmtree(source)
        shutil.rmtree(store / "user_experiments")
        before = features_of(database)
        for command in (["restore", run_id], ["reproduce", run_id], ["trace", "1"]):
            status, output, errors = run_command(
                capsys, *command, "--database-url", database.url()
            )
            assert (status, output) == (1, "")
            assert re.search(r"user_experiments\.csv is no longer in the store", errors)
        assert features_of(database) == before

    def test_a_load_whose_parts_went_meanwhile_changes_nothing(
        self, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """It must not name what is not there."""
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        pipeline.extract(reading_path(FIRST.write(tmp_path / "drop")))
        pipeline.validate()
        pipeline.transform()
        shutil.rmtree(store / "users")
        with pytest.raises(ConfigurationError, match=r"users\.csv are no longer in the store"):
            pipeline.load()
        assert features_of(database) == []


class TestRemoval:
    """What neither the last load nor recent runs need goes."""

    def test_after_so_many_days(self, database: Database, store: Path, tmp_path: Path) -> None:
        """Days count from when a load was replaced, or a run that did not load ended."""
        run(database, FIRST.write(tmp_path / "first"))
        first = names_in(store_of(database, store))
        age(database, 40)
        run(database, SECOND.write(tmp_path / "second"), keep_days=1000)
        assert first <= names_in(store_of(database, store)), "it was in force until just now"
        age_files(store)
        age(database, 29)
        assert remove(database, store) == 0
        age(database, 2)
        assert remove(database, store) == 2  # the compounds are the same
        last = {part["part"] for part in parts_of_last_load(database)}
        assert names_in(store_of(database, store)) == last
        age(database, 1000)
        assert remove(database, store) == 0

    def test_a_run_in_progress_keeps_what_it_names(
        self, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """However old it is: also of a run that has only just found its files to be known."""
        first = FIRST.write(tmp_path / "first")
        run(database, first)
        age(database, 40)
        run(database, SECOND.write(tmp_path / "second"), keep_parts_days=1000)
        age_files(store)
        age(database, 40)
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        with recorded(pipeline.connect, pipeline.run, "extract"):
            pipeline.extract(reading_path(first))
        assert remove(database, store, 0, is_young_kept=False) == 0
        pipeline.validate()
        pipeline.transform()
        pipeline.load()
        assert_intact(database, store)

    def test_of_what_nothing_names(self, database: Database, store: Path, tmp_path: Path) -> None:
        """Files and drafts stay for a day, because a run may be about to name them."""
        run(database, FIRST.write(tmp_path / "drop"))
        parts = store_of(database, store)
        named = names_in(parts)
        names = ("unnamed.v1.0.parquet", ".draft-1.parquet", ".draft-1.others")
        for name in names:
            (store / "users" / parts.database_id / name).write_bytes(b"half")
        assert remove(database, store) == 0
        assert remove(database, store, 0, is_young_kept=False) == 1  # drafts are being written
        age_files(store)
        assert remove(database, store) == 2
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
        age_files(store)
        pipeline = make_pipeline(database, tmp_path / "workspaces")
        with recorded(pipeline.connect, pipeline.run, "extract"), database.connect() as other:
            other.execute("select pg_advisory_xact_lock(hashtext('experiment_features.store'))")
            thread = threading.Thread(target=remove, args=(database, store, 0))
            thread.start()
            await_waiting(database)
            other.execute(
                "update features.pipeline_runs set parts = (select parts "
                "from features.pipeline_runs where status = 'loaded' order by started_at limit 1) "
                "where status = 'running'"
            )
            other.commit()
            thread.join(60)
            assert pipeline.extract(reading_path(first)).parts
        pipeline.validate()
        pipeline.transform()
        pipeline.load()
        assert_intact(database, store)


def await_waiting(database: Database) -> None:
    """Waits until a session waits for an advisory lock."""
    deadline = time.monotonic() + 30
    while not database.value("select count(*) from pg_locks where not granted"):
        assert time.monotonic() < deadline, "no session has waited for a lock within 30 s"
        time.sleep(0.02)


class TestDatabases:
    """Each database has parts of its own."""

    def test_two_databases_share_nothing(
        self, server: Server, database: Database, store: Path, tmp_path: Path
    ) -> None:
        """Both read the same drop, and a removal in one leaves those of the other."""
        source = FIRST.write(tmp_path / "drop")
        run(database, source)
        with server.database(f"{database.name}_other") as other:
            assert len(run(other, source)["read"]) == 3
            assert store_of(other, store).database_id != store_of(database, store).database_id
            run(other, SECOND.write(tmp_path / "second"))
            age_files(store)
            assert remove(other, store, 0) == 2
            assert_intact(other, store)
        assert_intact(database, store)

    def test_a_copy_is_refused_until_it_takes_the_parts_over(
        self, server: Server, database: Database, store: Path, tmp_path: Path
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
            migrate(adopting.url("keeper"))
            with pytest.raises(ConfigurationError, match="is a copy of another one"):
                run(adopting, source)
            migrate(adopting.url("keeper"), adopt_store=True)
            assert run(adopting, source)["status"] == "unchanged"
            result = run(moving, source, store=tmp_path / "store of its own")
            assert (result["status"], len(result["read"])) == ("loaded", 3)
        assert run(database, source)["status"] == "unchanged"
