"""Drops and workspaces in object storage, on a real S3 server with Airflow's connections."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from cases import first_or_all
from drops import every_fault
from e2e.local_stack import ROOT, SAMPLE
from experiment_features.command_line import main
from experiment_features.config import Settings
from experiment_features.drop.allowed_source import is_absent, resolve_source
from experiment_features.drop.files import holds_files
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.object_storage import BLOCK_BYTES, StoredPath
from experiment_features.drop.open_file import opened
from experiment_features.engines.choose import choose_engine
from experiment_features.errors import (
    ConfigurationError,
    DropChanged,
    DropRefused,
    PipelineError,
    StorageUnavailable,
)
from experiment_features.features import transform as features
from experiment_features.load.database import connect
from experiment_features.load.loads import Load, find_load
from experiment_features.load.part_store import (
    find_database_id,
    find_dependent_loads,
    remove_old_parts,
)
from experiment_features.reading import extract as reading
from experiment_features.reading import new_parts
from experiment_features.report.trace import trace
from experiment_features.rules import validate as checking
from experiment_features.run import Extracted, Result
from experiment_features.store.parts import NoLedger, PartStore
from experiment_features.workspace import Workspace
from features_airflow.object_storage import open_filesystem, open_workspace
from integration.running import compute_drop, extract_drop, features_of, make_pipeline, run_drop
from integration.running import run_stages as run_all
from integration.servers import Database
from s3_server import BUCKET, Proxy, S3Server, proxy_to
from stages import TODAY, assert_as_expected, extract, run_stages, transform, validate

QUICK = {"retries": {"max_attempts": 1}}
WORKSPACE = "s3://lab@laboratory/workspaces/run"


@pytest.fixture(autouse=True)
def connections(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's connections: one that works, and some that do not."""
    away = s3.connection(endpoint_url="http://127.0.0.1:1", config_kwargs=QUICK)
    monkeypatch.setenv("AIRFLOW_CONN_LAB", s3.connection())
    monkeypatch.setenv("AIRFLOW_CONN_LAB_AWAY", away)
    monkeypatch.setenv("AIRFLOW_CONN_LAB_OLD_KEY", s3.connection(login="nobody"))
    monkeypatch.setenv("AIRFLOW_CONN_LAB_OLD_SECRET", s3.connection(password="wrong"))  # noqa: S106


def at(uri: str) -> StoredPath:
    """Returns a path in object storage."""
    return StoredPath(uri, open_filesystem(uri))


def stored(s3: S3Server, folder: Path, name: str) -> StoredPath:
    """Uploads a drop; returns its path."""
    s3.put(folder, f"drops/{name}")
    return at(f"s3://lab@laboratory/drops/{name}")


def upload_faulty_drop(s3: S3Server, tmp_path: Path) -> tuple[Path, StoredPath]:
    """Writes a drop with every fault; returns its local folder and its path in the bucket."""
    folder = tmp_path / "drop"
    every_fault().write(folder)
    return folder, stored(s3, folder, tmp_path.name)


@contextmanager
def open_host(place: str) -> Iterator[tuple[Workspace, PartStore]]:
    """A run's workspace and parts, as a host has them that has seen neither before."""
    with open_workspace(place) as workspace:
        store = at(f"s3://lab@laboratory/store/{place.rpartition('/')[2]}")
        yield workspace, PartStore(store, "database", workspace.scratch / "parts")


@pytest.mark.parametrize("engine", first_or_all("duckdb", "pandas"))
def test_stages_hand_each_other_files_in_the_bucket(
    s3: S3Server, tmp_path: Path, engine: str
) -> None:
    """Stages on hosts that share nothing pass their files on through the bucket."""
    folder, source = upload_faulty_drop(s3, tmp_path)
    place = f"s3://lab@laboratory/workspaces/{tmp_path.name}"
    with open_host(place) as (workspace, store):
        reading.extract(source, workspace, store, NoLedger())
    with open_host(place) as (workspace, store):
        chosen = choose_engine(engine, 1, workspace.scratch / "spill")
        checking.validate(workspace, store, chosen, max_rejected_percent=100, today=TODAY)
    with open_host(place) as (workspace, store):
        features.transform(workspace, store, choose_engine(engine, 1, workspace.scratch / "spill"))
    with open_workspace(place) as workspace:
        assert str(workspace) == place
        assert_as_expected(folder, workspace)
        here = workspace.folder
    assert not here.exists()
    found = s3.keys(f"workspaces/{tmp_path.name}")
    assert {"extract.json", "validate.json", "transform.json"} <= found
    assert not [key for key in found if key.startswith("scratch")]


@pytest.mark.usefixtures("s3")
def test_a_temporary_folder_that_cannot_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is fetched into it."""
    folder = tmp_path / r"a\*"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    message = r"^the temporary folder /.* which DuckDB cannot read: set TMPDIR to another"
    with pytest.raises(ConfigurationError, match=message), open_workspace(WORKSPACE):
        pass
    assert list(folder.iterdir()) == []


def test_load_is_that_of_a_local_drop(s3: S3Server, database: Database, tmp_path: Path) -> None:
    """A stored drop loads the same rows as a local one, under the source given to the run."""
    source = stored(s3, SAMPLE, "same")
    assert source.as_uri() == "s3://laboratory/drops/same"  # as in lineage events
    with open_workspace(WORKSPACE) as workspace:
        pipeline = make_pipeline(database, tmp_path, engine="duckdb")
        pipeline = replace(pipeline, workspace=workspace)
        compute_drop(pipeline, source)
        result = asdict(pipeline.load())
    assert (result["status"], result["source"]) == ("loaded", "s3://lab@laboratory/drops/same")
    loaded = features_of(database)
    drop = Path(shutil.copytree(SAMPLE, tmp_path / "drop"))
    again = run_drop(database, drop, force=True)
    assert (again["status"], again["updated"], again["inserted"]) == ("loaded", 0, 0)
    assert features_of(database) == loaded
    with open_workspace(WORKSPACE) as workspace:
        pipeline = replace(make_pipeline(database, tmp_path), workspace=workspace)
        assert extract_drop(pipeline, source).is_unchanged
        assert holds_files(source, workspace.found(Extracted).files, "snapshot")


@pytest.mark.thorough
def test_store_of_parts_in_the_bucket(s3: S3Server, database: Database, tmp_path: Path) -> None:
    """Known files, lost parts, trace, restore and removal are as in a folder."""
    store = at(f"s3://lab@{BUCKET}/store {tmp_path.name}")
    drop = Path(shutil.copytree(SAMPLE, tmp_path / "drop"))

    def parts() -> set[str]:
        return s3.keys(f"store {tmp_path.name}")

    def run(load: Load | None = None) -> Result:
        restored = {"restored_run": load.run_id} if load else {}
        pipeline = make_pipeline(database, tmp_path, store=store, keep_parts_days=1000, **restored)
        result: Result = run_all(
            pipeline, lambda: pipeline.take(load) if load else pipeline.extract(LocalPath(drop))
        )
        return result

    def find(run_id: str | None = None) -> Load:
        with connect(database.url()) as connection:
            return find_load(connection, run_id)

    first = run()
    assert (first.status, len(parts())) == ("loaded", 3)
    before = features_of(database)
    with patch.object(new_parts, "type_file", side_effect=AssertionError("read again")):
        (drop / "users.csv").rename(drop / "users_1.csv")
        assert run().status == "loaded"
        assert run().status == "unchanged"
    assert (len(parts()), features_of(database)) == (3, before)
    (users,) = (key for key in parts() if key.startswith("users/"))
    s3.client().put_object(Bucket=BUCKET, Key=f"{store.key.partition('/')[2]}/{users}", Body=b"x")
    assert run().status == "loaded"
    assert run().status == "unchanged"
    with (drop / "users_1.csv").open("a") as file:
        file.write("\n9999,Zoe,zoe@example.org,2024-01-01\n")
    changed = run()
    assert (changed.inserted, len(parts())) == (1, 4)
    with connect(database.url()) as connection:
        local = PartStore(store, find_database_id(connection), tmp_path / "cache")
        user_id = before[0]["user_id"]
        found = trace(connection, local, find(), user_id, memory_limit=Settings.memory_limit)
        assert found.is_equal
        assert found.rows
    restored = run(find(first.run_id))
    assert (restored.status, restored.deleted) == ("loaded", 1)
    assert [row["user_id"] for row in features_of(database)] == [row["user_id"] for row in before]
    with connect(database.url()) as connection:
        spare = PartStore(store, find_database_id(connection), tmp_path / "cache")
        assert find_dependent_loads(connection, spare) == [changed.run_id]
        assert remove_old_parts(connection, spare, 0) == 0  # written within a day
        assert remove_old_parts(connection, spare, 0, lost_loads=[changed.run_id]) == 1
    with pytest.raises(ConfigurationError, match=r"users_1\.csv is no longer in the store"):
        run(find(changed.run_id))
    client, prefix = s3.client(), store.key.partition("/")[2]
    pipeline = make_pipeline(database, tmp_path, store=store)
    compute_drop(pipeline, LocalPath(drop))
    for key in parts():
        client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{key}")
    with pytest.raises(ConfigurationError, match="are no longer in the store"):
        pipeline.load()


@pytest.fixture
def by_proxy(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Proxy, str]]:
    """A proxy to the server, and the bucket through a connection that uses it."""
    name = f"proxy_{request.node.name}"  # unique, because Airflow caches stores
    with proxy_to(s3.port) as proxy:
        connection = s3.connection(endpoint_url=proxy.url)
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", connection)
        yield proxy, f"s3://{name}@{BUCKET}"


def test_large_files_are_read_a_block_at_a_time(
    s3: S3Server, tmp_path: Path, by_proxy: tuple[Proxy, str]
) -> None:
    """Reading the start of a large file does not fetch all of it."""
    (tmp_path / "users.csv").write_bytes(bytes(64 * 2**20))
    s3.put(tmp_path, "drops/large")
    proxy, bucket = by_proxy
    with at(f"{bucket}/drops/large/users.csv").open() as stream:
        assert len(stream.read(2**20)) == 2**20
        assert 2**20 < sum(proxy.answers) < 3 * BLOCK_BYTES
        assert sum(map(len, iter(lambda: stream.read(2**20), b""))) == 63 * 2**20


def test_file_that_is_replaced_while_it_is_read(s3: S3Server, tmp_path: Path) -> None:
    """What was read of it is not used, however much that is, and it is read again."""
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "users.csv").write_bytes(bytes(3 * BLOCK_BYTES))
    for first, then in ((2**20, -1), (-1, 0)):
        s3.put(folder, "drops/replaced")
        (file,) = at(f"s3://lab@{BUCKET}/drops/replaced").entries()
        with pytest.raises(DropChanged, match=r"users\.csv: changed"), opened(file) as stream:  # noqa: PT012
            stream.read(first)
            s3.client().put_object(Bucket=BUCKET, Key="drops/replaced/users.csv", Body=b"1")
            stream.read(then)


def test_files_that_come_go_or_change_meanwhile(s3: S3Server, tmp_path: Path) -> None:
    """As in a folder: the drop is tried again, and the error names them."""
    source = stored(s3, SAMPLE, "changing")
    client, prefix = s3.client(), "drops/changing/"

    def progress(name: str, _rows: int) -> None:
        if name == "user_experiments.csv":
            client.delete_object(Bucket=BUCKET, Key=f"{prefix}users.csv")
            for other in ("compounds.csv", "users_2.csv.part", "notes.txt"):
                client.put_object(Bucket=BUCKET, Key=prefix + other, Body=b"new")

    with pytest.raises(
        DropChanged, match=r"compounds\.csv, users\.csv, users_2\.csv\.part: changed"
    ):
        extract(source, Workspace(tmp_path / "workspace"), progress=progress)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Users_2.CSV.bz2", r"Users_2\.CSV\.bz2 in s3://.* cannot be read"),
        ("user_experiments_2.csv/part-0", r"user_experiments_2\.csv \(a folder\) in s3://"),
        ("deleted_users.csv", r"deleted_users\.csv in s3://.* lists rows to delete"),
        ("_READY", r"the manifest _READY has no mode"),
        ("users_copy.CSV", r"users\.csv and users_copy\.CSV hold the same rows"),
    ],
)
def test_what_refuses_a_drop(s3: S3Server, tmp_path: Path, key: str, message: str) -> None:
    """Names and markers mean what they mean in a folder."""
    source = stored(s3, SAMPLE, tmp_path.name)
    copy = (SAMPLE / "users.csv").read_bytes()
    body = copy if "copy" in key else b"\xef\xbb\xbf {}"
    s3.client().put_object(Bucket=BUCKET, Key=f"drops/{tmp_path.name}/{key}", Body=body)
    with pytest.raises(DropRefused, match=message):
        extract(source, Workspace(tmp_path / "workspace"))


def test_any_key_will_do(s3: S3Server, tmp_path: Path) -> None:
    """For drops, their files and workspaces; nothing else that a pattern would fit is removed."""
    folder = tmp_path / "drop"
    every_fault("users", "email_invalid").write(folder)
    odd = "-t [a-b]*?{c,d} 'e\" %41#2名=v"
    (folder / "users.csv").rename(folder / f"users {odd}.CSV")
    s3.put(folder, f"drops/{odd}")
    source = resolve_source(f"s3://lab@laboratory/drops/{odd}", ROOTS, open_filesystem)
    place = f"s3://lab@laboratory/kept {odd}"
    s3.client().put_object(Bucket=BUCKET, Key="kept -t a /x", Body=b"not ours")
    for _ in range(2):  # the second attempt removes what the first has left
        with open_workspace(f"{place}/1") as workspace:
            run_stages(source, workspace, "duckdb")
            assert_as_expected(folder, workspace)
    assert "extract.json" in s3.keys(f"kept {odd}/1")
    with open_workspace(f"{place}/2") as workspace:
        workspace.remove_old_siblings(keep_days=0)
    assert not s3.keys(f"kept {odd}")
    assert s3.keys("kept -t a ") == {"x"}


def test_reading_resumes_after_a_cut_connection(
    s3: S3Server, tmp_path: Path, by_proxy: tuple[Proxy, str]
) -> None:
    """A single cut does not matter; repeated cuts are a transient error without a result."""
    folder, _ = upload_faulty_drop(s3, tmp_path)
    proxy, bucket = by_proxy
    source = at(f"{bucket}/drops/{tmp_path.name}")
    workspace = Workspace(tmp_path / "workspace")
    source.entries()
    proxy.cut_after, proxy.cuts = 2_000, 1
    extract(source, workspace)
    assert proxy.cuts == 0
    choose = choose_engine("pandas", 1, workspace.scratch)
    validate(workspace, choose, max_rejected_percent=100, today=TODAY)
    transform(workspace, choose)
    assert_as_expected(folder, workspace)

    proxy.cuts = 1_000
    with pytest.raises(StorageUnavailable, match=rf"the store of {bucket}.* broke off"):
        extract(source, workspace)
    assert proxy.cuts < 1_000
    assert not (workspace.folder / "extract.json").exists()


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("s3://lab@laboratory/drops/none", DropRefused, "cannot be read as a folder .*none"),
        ("s3://lab@nowhere/drops", DropRefused, "The specified bucket does not exist"),
        ("s3://lab_old_key@laboratory/drops", ConfigurationError, "refuses access .*Key Id"),
        ("s3://lab_old_secret@laboratory/drops", ConfigurationError, "refuses access .*signat"),
        ("s3://lab_away@laboratory/drops", StorageUnavailable, "cannot be reached.*127.0.0.1:1"),
        ("s3://lab_none@laboratory/drops", ConfigurationError, "set AIRFLOW_CONN_LAB_NONE"),
        ("gs://lab@laboratory/drops", ConfigurationError, "scheme of an installed provider"),
        ("new://lab@laboratory/drops", ConfigurationError, "scheme of an installed provider"),
    ],
)
def test_problems_with_a_source_are_reported(
    tmp_path: Path, source: str, kind: type[PipelineError], message: str
) -> None:
    """The error is one line that names the source; only an unreachable store is transient."""
    with pytest.raises(kind, match=message) as refusal:
        extract(at(source), Workspace(tmp_path / "workspace"))
    assert "\n" not in str(refusal.value)
    assert source in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "kind", "message"),
    [
        ("s3://lab@nowhere/run", ConfigurationError, "create its bucket"),
        ("s3://lab_old_secret@laboratory/run", ConfigurationError, "refuses access"),
        ("s3://lab_away@laboratory/run", StorageUnavailable, "cannot be reached"),
    ],
)
def test_problems_with_a_workspace_are_reported(
    place: str, kind: type[PipelineError], message: str
) -> None:
    """The error says what is wrong; only an unreachable store is transient."""
    with pytest.raises(kind, match=message), open_workspace(place) as workspace:
        extract(SAMPLE, workspace)


def test_stage_that_was_cut_short_has_not_happened(s3: S3Server) -> None:
    """A stage that was cut short has no result, and leaves no part of an earlier drop."""
    place = f"s3://lab@{BUCKET}/workspaces/cut"
    with open_workspace(place) as workspace:
        extract(SAMPLE, workspace)
    s3.client().put_object(Bucket=BUCKET, Key="workspaces/cut/users/0002.parquet", Body=b"old")
    with (
        patch.object(StoredPath, "keep", _fail_at("user_experiments", StoredPath.keep)),
        pytest.raises(StorageUnavailable),
        open_workspace(place) as workspace,
    ):
        extract(SAMPLE, workspace)
    found = s3.keys("workspaces/cut")
    assert any(key.startswith("compounds/") for key in found)
    assert not {"extract.json", "users/0002.parquet"} & found
    with (
        pytest.raises(ConfigurationError, match="holds no finished 'extract' stage"),
        open_workspace(place) as workspace,
    ):
        workspace.found(Extracted)


def _fail_at(name: str, keep: Any) -> Any:
    def fail(path: StoredPath, source: Path) -> None:
        if name in str(path):
            raise StorageUnavailable("cut")
        keep(path, source)

    return fail


def test_old_workspaces_are_removed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only old workspaces are removed, but nothing else next to them."""
    for name in ("old", "new"):
        with open_workspace(f"s3://lab@laboratory/kept/{name}") as workspace:
            extract(SAMPLE, workspace)
    s3.client().put_object(Bucket=BUCKET, Key="kept/other/users.csv", Body=b"not ours")
    written_at = StoredPath.written_at
    monkeypatch.setattr(
        StoredPath,
        "written_at",
        lambda path: written_at(path) - ("/old/" in str(path)) * 2 * 24 * 60 * 60,
    )
    with open_workspace("s3://lab@laboratory/kept/new") as workspace:
        workspace.remove_old_siblings(keep_days=1)
    assert {key.partition("/")[0] for key in s3.keys("kept")} == {"new", "other"}
    with open_workspace("s3://lab@laboratory/kept/new") as workspace:
        workspace.remove_old_siblings(keep_days=0)
    assert {key.partition("/")[0] for key in s3.keys("kept")} == {"other"}


def test_command_line_takes_a_uri(
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A URI works with Amazon's environment variables; a bad one is refused in one line."""
    source = "s3://laboratory/drops/command::line"
    s3.put(SAMPLE, "drops/command::line")
    done = subprocess.run(
        [sys.executable, "-m", "experiment_features", "check", source],
        env={"PYTHONPATH": str(ROOT / "include"), "HOME": str(tmp_path)} | s3.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "would be loaded" in done.stdout
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    for bad, reason in {
        "s3://laboratory/drops/none": "cannot be read as a folder",
        f"{source}/users.csv": "cannot be read as a folder (Not a directory)",
        "s3://nowhere/drops": "The specified bucket does not exist",
        "nothing://at/all": "cannot be opened",
    }.items():
        assert main(["check", bad]) == 1
        told = capsys.readouterr().err
        assert told.startswith("refused: ")
        assert told.count("\n") == 1
        assert reason in told


def test_source_that_is_gone(s3: S3Server) -> None:
    """The daily run can tell whether the drop of the last load still exists."""
    s3.put(SAMPLE, "drops/here")
    assert not is_absent("s3://lab@laboratory/drops/here", open_filesystem)
    assert is_absent("s3://lab@laboratory/drops/gone", open_filesystem)
    s3.client().put_object(Bucket=BUCKET, Key="drops/gone/users.csv", Body=b"id")
    assert not is_absent("s3://lab@laboratory/drops/gone", open_filesystem)


ROOTS = ("/data", "s3://lab@laboratory/drops", "s3://other@bucket/")


@pytest.mark.parametrize(
    "source",
    [
        "s3://lab@laboratory/drops",
        "s3://lab@laboratory/drops/",
        "s3://lab@laboratory/drops/2026-11-22",
        "s3://other@bucket/any/folder",
    ],
)
def test_what_lies_in_a_root_is_found(
    s3: S3Server, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root and everything below it may be read."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", s3.connection())
    assert str(resolve_source(source, ROOTS, open_filesystem)) == source.rstrip("/")


@pytest.mark.parametrize(
    "source",
    [
        "s3://lab@laboratory",
        "s3://lab@laboratory/drops-evil",
        "s3://lab@laboratory/drops/../secret",
        "s3://lab@laboratory/drops/./a",
        "s3://lab@laboratory/drops//a",
        "s3://lab@laboratory/drops/#/../../secret",
        "s3://lab@laboratory/drops/?/../../secret",
        "s3://laboratory/drops/a",
        "s3://other@laboratory/drops/a",
        "s3://lab@bucket/drops",
        "s3a://lab@laboratory/drops/a",
        "simplecache::s3://lab@laboratory/drops/a",
        "s3://lab@laboratory/drops/a::file:///etc",
        "http://example.org/drops",
    ],
)
def test_what_lies_outside_is_refused(source: str) -> None:
    """Also by another connection, and whatever would mean another place when it is opened."""
    with pytest.raises(ConfigurationError, match="lies outside the folders that runs may read"):
        resolve_source(source, ROOTS, open_filesystem)
