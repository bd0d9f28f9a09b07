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
from typing import Any

import pyarrow as pa
import pytest

from experiment_features.contract import BY_PRODUCTS, Mode
from experiment_features.contract import USERS as USERS_TABLE
from experiment_features.drop.files import find_delta, find_drop, holds_files, refuse_changes
from experiment_features.drop.local_path import LocalPath
from experiment_features.drop.open_file import opened
from experiment_features.errors import DropChanged, DropRefused, StorageUnavailable
from experiment_features.workspace import Workspace
from stages import extract

USERS = b"user_id,name,email,signup_date\n"


def test_a_drop_that_cannot_be_read_is_no_delta(drop: Path) -> None:
    """Whoever asks does not read it: the run that takes it says what is wrong."""
    marker = drop / "_READY"
    marker.write_text('{"mode": "delta"}')
    assert find_delta(LocalPath(drop))
    marker.write_text("{")
    assert find_delta(LocalPath(drop)) is None
    assert find_delta(LocalPath(drop / "nowhere")) is None


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
        find_drop(drop)
    assert str(refusal.value).startswith(f"{name} in {drop} cannot be read")


def test_a_file_out_of_reach_is_no_broken_link(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says that it is a question of permissions."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("experiment_features.drop.local_path.os.stat", refuse)
    with pytest.raises(DropRefused, match=r"users.csv \(in a place that may not be entered\)"):
        find_drop(drop)


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
        find_drop(drop)
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
    assert [part.name for parts in find_drop(drop).files.values() for part in parts] == [
        "users.csv", "compounds.csv", "user_experiments.csv",
    ]  # fmt: skip
    (line,) = caplog.messages
    assert line.endswith("that belong to no table: archive, my_users.csv, notes.txt")


@pytest.mark.parametrize(
    "name", ["deleted_users.csv", "DELETED_compounds_2.CSV.gz", "deleted_users"]
)
def test_deletions_refuse_a_snapshot(name: str, drop: Path) -> None:
    """They belong to a delta, which must not be taken for the whole because nothing declares it."""
    (drop / name).write_bytes(b"user_id\n1\n")
    for marker in (None, b"", b'{"mode": "snapshot"}'):
        if marker is not None:
            (drop / "_READY").write_bytes(marker)
        with pytest.raises(DropRefused, match=rf"^{name} in .* lists rows to delete, but the drop"):
            find_drop(drop)
    (drop / name).rename(drop / f"{name}.sha256")
    find_drop(drop)


def test_a_delta_has_the_files_of_tables_and_of_deletions(tmp_path: Path) -> None:
    """Any of them, in parts, their names in any case; what only ends like them is the table's."""
    for name in ("DELETED_Users.CSV", "users_deleted.csv", "deleted_users_1.csv.gz", "_READY"):
        (tmp_path / name).write_bytes(b'{"mode": "delta"}' if name == "_READY" else b"")
    drop = find_drop(tmp_path)
    assert (drop.mode, drop.base) == ("delta", None)
    assert {table.name: [file.name for file in files] for table, files in drop.files.items()} == {
        "users": ["users_deleted.csv"],
        "compounds": [],
        "user_experiments": [],
        "deleted_users": ["DELETED_Users.CSV", "deleted_users_1.csv.gz"],
        "deleted_compounds": [],
        "deleted_user_experiments": [],
    }
    (tmp_path / "deleted_users.xlsx").touch()
    with pytest.raises(DropRefused, match=r"^deleted_users\.xlsx in .* cannot be read, but may be"):
        find_drop(tmp_path)


def test_a_drop_of_some_tables_may_be_a_delta(tmp_path: Path) -> None:
    """To add the missing files would make it a snapshot, which removes all that is not in it."""
    with pytest.raises(DropRefused, match=r"no file of users: .*; found no files$"):
        find_drop(tmp_path)
    (tmp_path / "users.csv").touch()
    with pytest.raises(DropRefused, match=r"no file of compounds: .* run it with the mode delta$"):
        find_drop(tmp_path)


def test_a_delta_without_files_is_refused(tmp_path: Path) -> None:
    """It would change nothing, so something is missing."""
    (tmp_path / "notes.txt").touch()
    message = r"^the delta in .* has no file of a table or of deletions: .*; found notes\.txt$"
    with pytest.raises(DropRefused, match=message):
        find_drop(tmp_path, "delta")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_marker_is_a_manifest_if_it_begins_with_a_brace(encoding: str, drop: Path) -> None:
    """Whatever cannot be seen before it; any other marker stands for a snapshot."""
    marker = drop / "_READY"
    for content in ("", "ready", "\n\n", "[{}]", " " * 2**21):
        marker.write_text(content, encoding=encoding)
        assert (find_drop(drop).mode, find_drop(drop).manifest) == ("snapshot", None)
    for content in (" \r\n\t {", "{", "\u00a0\u200b\ufeff{"):
        marker.write_text(content, encoding=encoding)
        with pytest.raises(DropRefused, match=r"^the manifest _READY "):
            find_drop(drop)


@pytest.mark.parametrize(
    ("marker", "parameter", "mode"),
    [
        (None, "auto", "snapshot"),
        (None, "snapshot", "snapshot"),
        (None, "delta", "delta"),
        ("", "auto", "snapshot"),
        ("", "snapshot", "snapshot"),
        ('{"mode": "snapshot"}', "auto", "snapshot"),
        ('{"mode": "snapshot"}', "snapshot", "snapshot"),
        ('{"mode": "delta"}', "auto", "delta"),
        ('{"mode": "delta"}', "delta", "delta"),
    ],
)
def test_the_marker_or_the_run_says_what_a_drop_is(
    marker: str | None, parameter: Mode, mode: str, drop: Path
) -> None:
    """Nothing is guessed from the files."""
    if marker is not None:
        (drop / "_READY").write_text(marker)
    assert find_drop(drop, parameter).mode == mode


@pytest.mark.parametrize(
    ("marker", "parameter", "message"),
    [
        ("", "delta", "the marker _READY is no manifest, so it declares a snapshot, but"),
        ('{"mode": "snapshot"}', "delta", "the manifest _READY declares a snapshot, but"),
        ('{"mode": "delta"}', "snapshot", "the manifest _READY declares a delta, but"),
    ],
)
def test_a_contradiction_refuses_the_drop(
    marker: str, parameter: Mode, message: str, drop: Path
) -> None:
    """The message has both sides, and how to resolve it."""
    (drop / "_READY").write_text(marker)
    with pytest.raises(DropRefused) as refusal:
        find_drop(drop, parameter)
    assert refusal.value.file == "_READY"
    assert str(refusal.value).startswith(f"{message} the run's parameter mode is {parameter}: run")
    assert f'or write {{"mode": "{parameter}"}} into _READY' in str(refusal.value)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("gone"), os.mkfifo])
def test_a_marker_that_is_no_file_refuses_the_drop(
    make: Callable[[Path], None], drop: Path
) -> None:
    """What a link to a place that is away would declare cannot be known."""
    make(drop / "_READY")
    with pytest.raises(DropRefused, match=r"^the marker _READY in .* is a .*: put a regular file"):
        find_drop(drop)


MANIFEST = '{"mode": "snapshot"}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (MANIFEST, '{"mode": "snapshot", "base": "1"}'),
        (MANIFEST, "{"),
        (MANIFEST, ""),
        (MANIFEST, None),
        (None, MANIFEST),
        ("", MANIFEST),
    ],
)
def test_a_manifest_that_changes_while_the_drop_is_read_is_tried_again(
    before: str | None, after: str | None, drop: Path, workspace: Workspace
) -> None:
    """A manifest that is written slowly may be empty at first."""
    marker = drop / "_READY"

    def declare(content: str | None) -> None:
        marker.unlink(missing_ok=True) if content is None else marker.write_text(content)

    declare(before)
    with pytest.raises(DropChanged, match=r"^_READY: changed while being read"):
        extract(drop, workspace, progress=lambda *_: declare(after))


def test_a_plain_marker_may_come_and_go(drop: Path, workspace: Workspace) -> None:
    """Of a snapshot: of what a run alone calls a delta, it would say otherwise."""
    marker = drop / "_READY"
    assert extract(drop, workspace, progress=lambda *_: marker.touch()).rows["users"] == 3
    assert extract(drop, workspace, progress=lambda *_: marker.unlink(missing_ok=True)).parts
    delta = find_drop(drop, "delta")
    refuse_changes(drop, delta)
    marker.touch()
    with pytest.raises(DropChanged, match=r"^_READY: changed"):
        refuse_changes(drop, delta)


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
    (part,) = find_drop(drop).files[USERS_TABLE]
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
    assert holds_files(LocalPath(drop), known, "snapshot")
    assert not holds_files(LocalPath(drop), known, "delta")


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
        find_drop(drop)
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
    (file,) = find_drop(LocalPath(drop)).files[USERS_TABLE]
    remedy = r" \(Too many open files\): allow the process to open more files \(`ulimit -n`\)"
    with no_more_files():
        with pytest.raises(StorageUnavailable, match=re.escape(str(drop)) + ".*" + remedy):
            find_drop(drop)
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
        find_drop(LocalPath(drop))
