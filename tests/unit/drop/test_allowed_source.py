"""Which folders a run may read: who triggers a run names one, and the roots are the limit."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event

import pytest

from experiment_features.command_run import open_source
from experiment_features.config import Settings
from experiment_features.drop.allowed_source import resolve_source
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import ConfigurationError
from experiment_features.places import without_secret
from experiment_features.run import Run


def resolve(source: str, roots: Sequence[str]) -> AnyPath:
    """The folder of a source, where nothing in object storage is to be looked at."""

    def open_filesystem(uri: str) -> None:
        raise AssertionError(uri)

    return resolve_source(source, roots, open_filesystem)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A root with a drop in it, beside folders that no run may read."""
    for name in ("data/drop/part", "data-evil/drop", "secret"):
        (tmp_path / name).mkdir(parents=True)
    links = {"data/out": "secret", "data/drop/up": ".", "data/in": "data/drop", "door": "data"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    return tmp_path / "data"


def named(source: str, data: Path) -> str:
    """The source, with the test's own folder for {top}."""
    return source.format(top=data.parent)


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        pytest.param("{top}/data/drop", "drop", id="path"),
        pytest.param("{top}/data", ".", id="the_root_itself"),
        pytest.param("{top}/data/", ".", id="slash_at_the_end"),
        pytest.param("{top}/data/drop/../drop/part", "drop/part", id="dots_that_stay_inside"),
        pytest.param("{top}/secret/../data/drop", "drop", id="dots_that_come_back"),
        pytest.param("{top}/data/in", "drop", id="link_that_stays_inside"),
        pytest.param("{top}/door/drop", "drop", id="link_that_leads_in"),
        pytest.param("{top}/data/tomorrow", "tomorrow", id="not_there_yet"),
        pytest.param("drop", "drop", id="relative"),
        pytest.param("./drop/part", "drop/part", id="relative_with_dot"),
        pytest.param("file://{top}/data/drop", "drop", id="uri"),
        pytest.param("file://localhost{top}/data/drop", "drop", id="uri_of_this_host"),
        pytest.param("FILE://{top}/data/dr%6Fp", "drop", id="uri_with_escapes"),
        pytest.param("file:{top}/data/drop", "drop", id="uri_with_one_slash"),
        pytest.param("file://{top}/data/lab#2", "lab#2", id="uri_with_a_hash"),
        pytest.param("file://{top}/data/lab?x=1#2", "lab?x=1#2", id="uri_with_a_question_mark"),
        pytest.param("{top}/data/a:/[b] %41\n-é", "a:/[b] %41\n-é", id="odd_path"),
    ],
)
def test_what_lies_in_a_root_is_found(source: str, folder: str, data: Path) -> None:
    """Links and dots are followed first; the answer has neither."""
    assert str(resolve(named(source, data), [str(data)])) == str((data / folder).resolve())


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("/etc", id="elsewhere"),
        pytest.param("/", id="everything"),
        pytest.param("{top}", id="parent"),
        pytest.param("{top}/data/../secret", id="dots"),
        pytest.param("{top}/data/drop/../../secret", id="dots_further_down"),
        pytest.param("../secret", id="relative_dots"),
        pytest.param("drop/../../secret", id="relative_dots_further_down"),
        pytest.param("{top}/data/out", id="link"),
        pytest.param("{top}/data/drop/up/secret", id="link_above_the_root"),
        pytest.param("out", id="relative_link"),
        pytest.param("{top}/data-evil", id="same_beginning"),
        pytest.param("{top}/data-evil/drop", id="same_beginning_further_down"),
        pytest.param("file:///etc", id="uri"),
        pytest.param("file://{top}/data/%2e%2e/secret", id="uri_with_escaped_dots"),
        pytest.param("file://{top}/data%2f..%2fsecret", id="uri_with_escaped_slashes"),
        pytest.param("http://localhost{top}/data/drop", id="http"),
        pytest.param("https://example.org/drop", id="https"),
        pytest.param("ftp://example.org/drop", id="ftp"),
        pytest.param("s3://lab@drops/2026", id="object_storage"),
    ],
)
def test_what_lies_outside_is_refused(source: str, data: Path) -> None:
    """The message names the source, the roots, and the setting that changes them."""
    with pytest.raises(ConfigurationError) as refusal:
        resolve(named(source, data), [str(data)])
    message = str(refusal.value)
    assert repr(named(source, data)) in message
    assert str(data) in message
    assert "EXPERIMENT_FEATURES_SOURCE_ROOTS" in message


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("file://elsewhere{top}/data/drop", id="host"),
        pytest.param("file://127.0.0.1{top}/data/drop", id="address"),
        pytest.param("file://[x{top}/data/drop", id="open_bracket"),
        pytest.param("file://", id="nothing"),
    ],
)
def test_files_of_other_hosts_are_refused(source: str, data: Path) -> None:
    """Nothing is read from another machine, whatever its path is called."""
    with pytest.raises(ConfigurationError, match="is not on this machine: expected a path"):
        resolve(named(source, data), [str(data)])


def test_nul_bytes_are_refused(data: Path) -> None:
    """The system's own error would not say whose fault it is."""
    for source in (f"{data}\0/etc", f"file://{data}%00", f"s3://lab@bucket/{chr(0)}"):
        with pytest.raises(ConfigurationError, match="NUL byte"):
            resolve(source, [str(data)])


@pytest.mark.parametrize("source", ["\ud800", "s3://[", "s3://[/\ud800", "://", "s3://"])
def test_what_is_no_address_is_refused(source: str, data: Path) -> None:
    """Over REST, any text may come: it gives a message and no traceback."""
    with pytest.raises(ConfigurationError):
        resolve(source, [str(data), "s3://lab@bucket"])


def test_a_tilde_is_not_taken_for_a_folder(data: Path) -> None:
    """In quotes, the shell leaves it; a folder of that name would be a surprise."""
    for source in ("~", "~/drop"):
        with pytest.raises(ConfigurationError, match="~, which was not expanded"):
            resolve(source, [str(data)])


SECRETS = [
    "http://u:geheim@host/x",
    "ftp://u:geheim@host",
    "ftp://u:ge/heim@host/geheim",
    "simplecache::http://u:geheim@host/x",
    "https://host/x?geheim=geheim",
    "az://host/x?sv=1&sig=geheim",
]


@pytest.mark.parametrize("source", SECRETS)
def test_a_secret_in_a_uri_is_refused_and_not_shown(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither log nor ledger get it, and settings must not hold one either."""
    run = Run("one", "cli", datetime.now(UTC), date(2024, 1, 1), given_source=source)
    assert run.given_source == f"{source.partition('://')[0]}://…"
    for name in ("WORKSPACES", "STORE", "SOURCE_ROOTS"):
        monkeypatch.setenv(f"EXPERIMENT_FEATURES_{name}", source)
        with pytest.raises(ConfigurationError, match=f"{name} .* has a password") as caught:
            Settings.from_environment()
        assert "heim" not in str(caught.value)
        monkeypatch.delenv(f"EXPERIMENT_FEATURES_{name}")
    for refuse in (lambda source: resolve(source, [source]), open_source):
        with pytest.raises(ConfigurationError, match="has a password or query") as caught:
            refuse(source)
        assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "s3://lab@bucket/a:b@c?d;e=f",
        "hdfs://host:8020/a@b",
        "s3://arn:aws:s3:eu:1:accesspoint/x/a@b",
        "s3://lab@arn:aws:s3:eu:1:accesspoint/x/a@b",
        "http://[::1]:80/a@b",
        "/data/u:x@y?a=b",
        "file:///data/u:x@y?a=b",
    ],
)
def test_what_is_no_secret_is_kept(source: str) -> None:
    """Connections, ports and odd names are none."""
    assert without_secret(source) == source


def test_a_long_source_is_looked_through_at_once() -> None:
    """Whoever triggers a run may send any text."""
    started = time.process_time()
    assert without_secret(source := "s3://" + "://a:b" * 20_000) == source
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "source",
    [
        "zip://x",
        "tar://x",
        "memory://",
        "http:///",
        "simplecache::memory://a",
        "reference://x",
        "dir://x",
        "generic://x",
        "github://x",
        "data://x",
        "async_wrapper://x",
        "http://[::1",
        "cached://a",
        "nosuch://x",
    ],
)
def test_what_is_no_object_storage_is_refused(source: str) -> None:
    """Whatever the file system of a scheme raises: trying again would not help."""
    with pytest.raises(ConfigurationError, match="expected a folder, with the scheme"):
        open_source(source).entries()


def test_every_root_counts(data: Path) -> None:
    """A relative name is the first root's that has it; roots may be URIs and links."""
    other = data.parent / "data-evil"
    (other / "late").mkdir()
    roots = [f"file://{data.parent}/door", str(other)]
    assert str(resolve("drop", roots)) == str((data / "drop").resolve())
    assert str(resolve("late", roots)) == str((other / "late").resolve())
    assert str(resolve(str(other / "drop"), roots)) == str((other / "drop").resolve())


@pytest.mark.parametrize("source", ["nowhere", "drop/more"])
def test_a_relative_name_that_no_root_has(source: str, data: Path) -> None:
    """Nobody is told to allow a folder whose name is only misspelt."""
    with pytest.raises(ConfigurationError, match=f"there is no folder '{source}' in those that"):
        resolve(source, [str(data)])


def test_without_roots_nothing_is_read(data: Path) -> None:
    """An installation that names no root allows none."""
    with pytest.raises(ConfigurationError, match="lies outside"):
        resolve(str(data / "drop"), [])


def read(name: str, folder: AnyPath) -> bytes:
    """The bytes of a file in the folder, which is listed first."""
    (entry,) = (entry for entry in folder.entries() if entry.name == name)
    with entry.open() as stream:
        return stream.read()


@pytest.mark.parametrize("target", ["/etc/passwd", "{top}/data-evil/compounds.csv"])
def test_a_link_inside_a_drop_does_not_lead_out(target: str, data: Path) -> None:
    """A file of the drop that is a link to elsewhere would be quoted in messages and issues."""
    (data.parent / "data-evil" / "compounds.csv").touch()
    (data / "drop" / "compounds.csv").symlink_to(named(target, data))
    with pytest.raises(
        ConfigurationError, match=r"compounds\.csv in the source .* is a link"
    ) as out:
        read("compounds.csv", resolve("drop", [str(data)]))
    assert "root:" not in str(out.value)
    read("compounds.csv", resolve("drop", [str(data), "/"]))


def test_a_link_inside_a_drop_may_stay_inside(data: Path) -> None:
    """Links within the roots are no harm."""
    (data / "real.csv").write_text("of the drop")
    (data / "drop" / "users.csv").symlink_to(data / "real.csv")
    assert read("users.csv", resolve("drop", [str(data)])) == b"of the drop"


@pytest.mark.parametrize("back", [False, True], ids=["stays", "goes_back"])
def test_a_file_that_becomes_a_link_is_not_read(back: bool, data: Path) -> None:
    """The check holds for what is opened, whatever is put in its place behind the first look."""
    file, spare, secret = data / "drop" / "users.csv", data / "spare", data.parent / "secret" / "x"
    for path in (file, spare):
        path.write_text("of the drop")
    secret.write_text("secret")
    drop = resolve("drop", [str(data)])
    assert read("users.csv", drop) == b"of the drop"
    (found,) = (entry for entry in drop.entries() if entry.name == "users.csv")
    file.unlink()
    file.symlink_to(secret)
    system_open = os.open
    with pytest.MonkeyPatch.context() as patch:

        def open_and_swap(path: Path, flags: int) -> int:
            descriptor = system_open(path, flags)
            if back:
                spare.replace(file)
            return descriptor

        patch.setattr(os, "open", open_and_swap)
        with pytest.raises(ConfigurationError, match=r"users\.csv in the source .* is a link"):
            found.open()


def test_a_folder_that_turns_into_a_link_and_back_leads_nowhere(data: Path) -> None:
    """However fast: neither names nor bytes of another folder are read."""
    drop, aside, secret = data / "drop", data / "aside", data.parent / "secret"
    (drop / "users.csv").write_text("of the drop")
    (secret / "users.csv").write_text("secret")
    (secret / "compounds.csv").write_text("secret")
    resolved, stop = resolve("drop", [str(data)]), Event()

    def swap() -> None:
        while not stop.is_set():
            drop.rename(aside)
            drop.symlink_to(secret)
            drop.unlink()
            aside.rename(drop)

    with ThreadPoolExecutor() as threads:
        swapping = threads.submit(swap)
        end = time.monotonic() + 1
        try:
            while time.monotonic() < end:
                with suppress(ConfigurationError, OSError, ValueError):  # elsewhere, or not there
                    assert "compounds.csv" not in {entry.name for entry in resolved.entries()}
                    assert read("users.csv", resolved) == b"of the drop"
        finally:
            stop.set()
        swapping.result()
    assert read("users.csv", resolved) == b"of the drop"


@pytest.mark.parametrize("source", ["loop", pytest.param("x" * 5000, id="long")])
def test_what_cannot_be_followed_is_refused(source: str, data: Path) -> None:
    """A loop of links, or a name too long for the system, gives a message and no traceback."""
    (data / "loop").symlink_to(data / "loop")
    with pytest.raises(ConfigurationError):
        resolve(source, [str(data)])
