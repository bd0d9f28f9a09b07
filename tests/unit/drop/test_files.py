"""The files of a drop: what is read, what is passed over, what refuses it, and what changes."""

import errno
import gzip
import logging
import os
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest

from drops import CLEAN, Drop, Part, Row
from experiment_features.contract import BY_PRODUCTS
from experiment_features.contract import USERS as USERS_TABLE
from experiment_features.drop.files import find_files, holds_files, opened
from experiment_features.drop.local_path import LocalPath
from experiment_features.errors import DropChanged, DropRefused, StorageUnavailable
from experiment_features.workspace import Workspace
from stages import extract

USERS = b"user_id,name,email,signup_date\n"


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """The folder of a drop without faults."""
    rows = {table: tuple(map(Row, cells)) for table, cells in CLEAN.items()}
    return Drop(tuple(Part(table, "", rows[table]) for table in rows)).write(tmp_path / "drop")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace(tmp_path / "workspace")


@pytest.mark.parametrize(
    "name",
    ["USERS_2.CSV", "Users.Csv.GZ", "users .csv.Zst", "users-[1]*?{2} 'q\" %41#é\n=.csv"],
)
def test_names_count_in_any_case(name: str, drop: Path, workspace: Workspace) -> None:
    """Names of a table's files are recognised in any case, and compressed ones by their ending."""
    content = USERS + b"7,Di,d@e.f,2024-01-01\n"
    if name.lower().endswith(".gz"):
        content = gzip.compress(content)
    elif name.lower().endswith(".zst"):
        content = pa.Codec("zstd").compress(content, asbytes=True)
    (drop / name).write_bytes(content)
    assert extract(drop, workspace).rows["users"] == 4


@pytest.mark.parametrize(
    "name",
    [
        "user_experiments_2.csv.bz2", "Users_2.csv.part", "users.xlsx", "users_2", "compounds.csv.",
        "COMPOUNDS.TXT", "users_2.csv.gz.tmp",
    ],
)  # fmt: skip
def test_what_may_be_a_lost_part_refuses_the_drop(name: str, drop: Path) -> None:
    """A file that begins like a table's is refused; the message names it and says what to do."""
    (drop / name).touch()
    with pytest.raises(DropRefused, match=r"Unpack, rename or remove it, or wait") as refusal:
        find_files(drop)
    assert str(refusal.value).startswith(f"{name} in {drop} cannot be read")


def test_what_is_no_regular_file_refuses_the_drop(drop: Path) -> None:
    """A folder as Spark writes it, a link to what is not mounted, and what would block."""
    kinds = {
        "users_1.csv": ("a folder", Path.mkdir),
        "users_2.csv": ("a broken link", lambda path: path.symlink_to(drop / "gone")),
        "users_3.csv": ("a pipe", os.mkfifo),
        "users_4.csv": ("a device", lambda path: path.symlink_to("/dev/zero")),
        "deleted": ("", Path.mkdir),
    }
    for name, (_, make) in kinds.items():
        make(drop / name)
    shown = ", ".join(f"{name} ({kind})" for name, (kind, _) in kinds.items() if kind)
    with pytest.raises(DropRefused) as refusal:
        find_files(drop)
    assert str(refusal.value).startswith(f"{shown} in {drop}")


def test_a_pipe_is_not_waited_for(drop: Path) -> None:
    """Whatever was there when the folder was listed."""
    (part,) = (entry for entry in LocalPath(drop).entries() if entry.name == "users.csv")
    (drop / "users.csv").unlink()
    os.mkfifo(drop / "users.csv")
    with pytest.raises(DropRefused, match=r"users\.csv is a pipe: put a regular file there"):
        part.open()


def test_by_products_are_passed_over_and_all_else_is_named(
    drop: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By-products mean nothing, even if they are named after a table."""
    for patterns in BY_PRODUCTS.values():
        for pattern in patterns:
            (drop / pattern.replace("*", "users.CSV").replace("?", "p")).write_bytes(b"not a table")
    for name in ("notes.txt", "my_users.csv", "_READY"):
        (drop / name).touch()
    (drop / "archive").mkdir()
    assert [part.name for parts in find_files(drop).values() for part in parts] == [
        "users.csv", "compounds.csv", "user_experiments.csv",
    ]  # fmt: skip
    (line,) = caplog.messages
    assert line.endswith("that belong to no table: archive, my_users.csv, notes.txt")


@pytest.mark.parametrize(
    "name", ["deleted_users.csv", "DELETED_compounds_2.CSV.gz", "deleted_users"]
)
def test_deletions_refuse_the_drop(name: str, drop: Path) -> None:
    """They belong to a part of a drop, which must not be taken for the whole."""
    (drop / name).write_bytes(b"user_id\n1\n")
    with pytest.raises(DropRefused, match=rf"^{name} in .* lists rows to delete"):
        find_files(drop)
    (drop / name).rename(drop / f"{name}.sha256")
    find_files(drop)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_manifest_refuses_the_drop(encoding: str, drop: Path) -> None:
    """A marker that begins with { says that the drop may be a part; any other says nothing."""
    marker = drop / "_READY"
    for content in ("", "ready", "\n\n", "[{}]"):
        marker.write_text(content, encoding=encoding)
        find_files(drop)
    for content in ('{"mode": "delta"}', " \r\n\t {", "{"):
        marker.write_text(content, encoding=encoding)
        with pytest.raises(DropRefused, match=r"_READY in .* begins with \{, as the manifest"):
            find_files(drop)


def _append(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"9,Zoe,z@e.f,2024-01-01\n")


def _touch_back(file: Path) -> None:
    """Other content of the same size, with the time of before."""
    times, size = file.stat(), file.stat().st_size
    file.write_bytes(USERS.ljust(size, b"\n"))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def _replace(file: Path) -> None:
    spare = file.with_name("spare")
    shutil.copy2(file, spare)
    spare.replace(file)


@pytest.mark.parametrize("change", [_append, _touch_back, _replace, Path.unlink])
def test_a_file_that_changes_while_it_is_read_is_tried_again(
    change: Callable[[Path], None], drop: Path, workspace: Workspace
) -> None:
    """Also where what was read looks whole."""
    reading = [0]

    def progress(name: str, _rows: int) -> None:
        if name == "users.csv" and not reading[0]:
            reading[0] = 1
            change(drop / name)

    with pytest.raises(DropChanged, match=r"users\.csv: changed while being read\. Nothing"):
        extract(drop, workspace, progress=progress)
    assert not (workspace.folder / "extract.json").exists()


def test_what_is_wrong_with_a_torn_file_is_not_held_against_it(drop: Path) -> None:
    """The error of the reader gives way to that of the change."""
    (part,) = find_files(drop)[USERS_TABLE]
    refused = DropRefused("users.csv is a broken archive")
    with pytest.raises(DropChanged) as changed, opened(part):  # noqa: PT012
        _append(drop / "users.csv")
        raise refused
    assert changed.value.__cause__ is refused


@pytest.mark.parametrize("name", ["users_2.csv", "users_2.csv.part", "deleted_users.csv"])
def test_a_file_that_comes_while_the_drop_is_read_is_tried_again(
    name: str, drop: Path, workspace: Workspace
) -> None:
    """And one read before that changes later; what is none of a table's may come and go."""

    def progress(file: str, _rows: int) -> None:
        if file == "user_experiments.csv":
            for other in ("notes.txt", "users.csv.sha256", "_READY"):
                (drop / other).touch()
            (drop / name).touch()
            _replace(drop / "compounds.csv")

    with pytest.raises(DropChanged, match=rf"compounds\.csv, {name}: changed while"):
        extract(drop, workspace, progress=progress)
    for path in (drop / name, drop / "notes.txt"):
        path.unlink()
    known = extract(drop, workspace).files
    assert holds_files(LocalPath(drop), known)


@pytest.mark.parametrize(
    ("name", "pack"), [("users (1).csv", bytes), ("users.csv.gz", gzip.compress)]
)
def test_two_files_with_the_same_rows_refuse_the_drop(
    name: str, pack: Callable[[bytes], bytes], drop: Path, workspace: Workspace
) -> None:
    """Rather than to call all rows of one repeated; two empty parts are no harm."""
    (drop / name).write_bytes(pack((drop / "users.csv").read_bytes()))
    first, second = sorted(["users.csv", name])
    with pytest.raises(DropRefused) as refusal:
        extract(drop, workspace)
    assert str(refusal.value).startswith(f"{first} and {second} hold the same rows of users")
    for empty in (name, "users_3.csv"):
        (drop / empty).write_bytes(pack(USERS) if empty == name else USERS)
    assert extract(drop, workspace).rows["users"] == 3


def test_a_file_that_would_block_is_refused(monkeypatch: pytest.MonkeyPatch, drop: Path) -> None:
    """Some regular files of the system wait for more; a read of a pipe stands for theirs."""
    monkeypatch.setattr("experiment_features.drop.local_path._KINDS", {})
    monkeypatch.setattr("experiment_features.drop.local_path.FILE", "a device")
    (drop / "users.csv").unlink()
    os.mkfifo(drop / "users.csv")
    (part,) = (entry for entry in LocalPath(drop).entries() if entry.name == "users.csv")
    writer = os.open(drop / "users.csv", os.O_RDWR)
    with pytest.raises(DropRefused, match="reading it would block"), opened(part) as stream:
        stream.read(1)
    os.close(writer)


def test_names_in_the_log_are_bounded(drop: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder may hold thousands of other things."""
    for number in range(30):
        (drop / f"note_{number:02}.txt").touch()
    with caplog.at_level(logging.WARNING):
        find_files(drop)
    assert caplog.messages[0].endswith("note_19.txt, and 10 more")


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process cannot open another file."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened_here: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with suppress(OSError):
            while True:
                opened_here.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in opened_here:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_too_few_descriptors_are_no_fault_of_the_drop(drop: Path) -> None:
    """Folder and file may be read well by the next try; the message says what is short."""
    (file,) = find_files(LocalPath(drop))[USERS_TABLE]
    remedy = r" \(Too many open files\): allow the process to open more files \(`ulimit -n`\)"
    with no_more_files():
        with pytest.raises(StorageUnavailable, match=re.escape(str(drop)) + ".*" + remedy):
            find_files(drop)
        with pytest.raises(
            StorageUnavailable, match=r"users\.csv cannot be read" + remedy
        ) as caught:
            opened(file).__enter__()
    assert caught.value.file == "users.csv"


def test_a_failing_disk_is_no_fault_of_the_drop(drop: Path, workspace: Workspace) -> None:
    """Of the files of this machine, the memory of a process fails like a broken disk."""
    (drop / "users.csv").unlink()
    (drop / "users.csv").symlink_to("/proc/self/mem")
    with pytest.raises(StorageUnavailable, match=r"\(Input/output error\): check the disk"):
        extract(drop, workspace)


def test_a_share_that_is_away_is_no_broken_link(
    drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of a network share may be there again soon."""

    def fail(name: str, *, dir_fd: int) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), name, dir_fd)

    told = pytest.raises(StorageUnavailable, match="check the disk or network share")
    with told, monkeypatch.context() as patched:
        patched.setattr(os, "stat", fail)
        find_files(LocalPath(drop))
