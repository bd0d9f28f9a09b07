"""The manifest: what it declares, and every way in which it is malformed or says otherwise."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from experiment_features.drop.files import find_drop
from experiment_features.drop.manifest import (
    MOST_BYTES,
    DeclaredFile,
    Manifest,
    parse_manifest,
)
from experiment_features.errors import DropRefused
from experiment_features.workspace import Workspace
from stages import extract

HASH = "0123456789abcdef" * 4
RUN_ID = "manual__2026-11-21T00:00:00+00:00"


def manifest_of(files: dict[str, Any]) -> str:
    """The manifest of a snapshot with these files."""
    return json.dumps({"mode": "snapshot", "files": files})


def in_file(entry: str) -> bytes:
    """A manifest with this entry for a file."""
    return f'{{"mode": "delta", "files": {{"users.csv": {entry}}}}}'.encode()


@pytest.mark.parametrize(
    ("text", "manifest"),
    [
        ('{"mode": "delta"}', Manifest("delta")),
        ('\ufeff \r\n {"mode":"snapshot","files":{}}\n', Manifest("snapshot", files={})),
        (
            f"""{{"files": {{"é.csv": {{"sha256": "{HASH.upper()}"}}, "users.csv": {{"rows": 0}}}},
            "base": "{RUN_ID}", "mode": "delta"}}""",
            Manifest(
                "delta",
                RUN_ID,
                {"é.csv": DeclaredFile(HASH), "users.csv": DeclaredFile(rows=0)},
            ),
        ),
    ],
)
def test_what_a_manifest_declares(text: str, manifest: Manifest) -> None:
    """Its keys in any order; all but the mode may be left out."""
    assert parse_manifest(text.encode()) == manifest


def test_the_documented_manifest_can_be_read() -> None:
    """The example of the data contract."""
    page = (Path(__file__).parents[3] / "docs" / "data-contract.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    manifest = parse_manifest(example.encode())
    assert (manifest.mode, manifest.base) == ("delta", "2026-11-21")
    assert manifest.files
    assert manifest.files["users.csv"] == DeclaredFile(rows=200)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{}", 'has no mode: expected "mode": "snapshot" or "mode": "delta"'),
        (b'{"mode": "auto"}', 'has the mode "auto": expected "mode": "snapshot" or'),
        (b'{"mode": "Delta"}', 'has the mode "Delta": expected'),
        (b'{"mode": null}', "has the mode null: expected"),
        (b'{"mode": ["delta"]}', "has the mode a list: expected"),
        (b'{"mode": "delta", "Base": "1", "x\\u200b": 2}', r"has the unknown key Base, x\u200b: "),
        (b'{"mode": "snapshot", "base": "a"}', 'declares a snapshot with the base "a", and a snap'),
        (b'{"mode": "delta", "base": 7}', "has the base 7: expected the run_id of the last load"),
        (b'{"mode": "delta", "base": null}', "has the base null: expected"),
        (b'{"mode": "delta", "base": ""}', 'has the base "": expected'),
        (b'{"mode": "delta", "mode": "delta"}', "has the key mode twice in the same object: rem"),
        (b'{"mode": "delta", "files": []}', "has a list for files: expected an object"),
        (b'{"mode": "delta", "files": null}', "has null for files: expected an object"),
        (in_file("7"), "has 7 for users.csv: expected an object"),
        (in_file('{"size": 7}'), "has the unknown key size for users.csv: expected only sha256, r"),
        (in_file('{}, "users.csv": {}'), "has the key users.csv twice in the same object"),
        (in_file('{"rows": 1, "rows": 1}'), "has the key rows twice in the same object"),
        *[
            (in_file(f'{{"rows": {rows}}}'), f"has the rows {shown} for users.csv: expected their")
            for rows, shown in {
                "-1": "-1", "1.0": "1.0", "1e2": "100.0", "true": "true", '"7"': '"7"',
                "null": "null", "NaN": "NaN", "[1]": "a list", "9" * 5000: "Infinity",
            }.items()
        ],
        *[
            (in_file(f'{{"sha256": {sha256}}}'), f"has the sha256 {sha256[:50]}")
            for sha256 in ('""', "7", "null", f'"{HASH[1:]}"', f'"{HASH}0"', f'"{HASH[1:]}g"')
        ],
        (in_file(f'{{"sha256": {"1" * 64}}}'), "has the sha256 1.1111111111111112e+63 for users"),
        (in_file(f'{{"sha256": "{HASH}\\n"}}'), "has the sha256 "),
        ('{"mode": "delta"}'.encode("utf-16"), "holds NUL bytes, as UTF-16 does: expected UTF-8"),
        ('{"mode": "delta"}'.encode("utf-16-be"), "holds NUL bytes, as UTF-16 does: expected"),
        (b'{"mode": "d\xe9lta"}', "cannot be read: the byte at offset 11 is not UTF-8. Save it"),
        (b"\xc2\xa0{}", "is not valid JSON at line 1, column 1: "),
        pytest.param(b'{"a": ' * 100_000, "is nested too deeply: expected the keys", id="deep"),
        pytest.param(b"{" + b" " * MOST_BYTES, "is larger than 16 MiB: expected", id="large"),
    ],
)  # fmt: skip
def test_a_malformed_manifest_refuses_the_drop(text: bytes, message: str, drop: Path) -> None:
    """The message says what is wrong, and what was expected."""
    (drop / "_READY").write_bytes(text)
    with pytest.raises(DropRefused) as refusal:
        find_drop(drop)
    assert str(refusal.value).startswith(f"the manifest _READY {message}")
    assert refusal.value.file == "_READY"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "line 1, column 2"),
        ('{\n  "mode": delta\n}', "line 2, column 11"),
        ('\ufeff{"mode": "delta"}\n}', "line 2, column 1"),
        ('{"mode": "delta",\n}', "line"),
        ('{"mode": "delta"', "line 1, column 17"),
    ],
)
def test_what_is_no_json_is_refused_with_line_and_column(text: str, place: str) -> None:
    """The ledger gets the line, too."""
    with pytest.raises(DropRefused) as refusal:
        parse_manifest(text.encode())
    assert f"is not valid JSON at {place}" in str(refusal.value)
    assert "for a snapshot, the marker may also be empty" in str(refusal.value)
    assert refusal.value.line


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["users.csv", "compounds.csv"], "does not list user_experiments.csv, and lists files: "),
        ([], "does not list compounds.csv, user_experiments.csv, users.csv, and"),
        (["Users.csv", "notes.txt"], "lists Users.csv, notes.txt, and the drop has no such file"),
    ],
)
def test_the_files_are_exactly_those_that_are_listed(
    names: list[str], message: str, drop: Path
) -> None:
    """One more or fewer refuses the drop; other files, though there, are no files of a table."""
    (drop / "notes.txt").touch()
    listed = ", ".join(f'"{name}": {{}}' for name in names)
    (drop / "_READY").write_text(f'{{"mode": "snapshot", "files": {{{listed}}}}}')
    with pytest.raises(DropRefused) as refusal:
        find_drop(drop)
    assert str(refusal.value).startswith(f"the manifest _READY {message}")


def test_deletions_are_listed_as_well(tmp_path: Path) -> None:
    """As files of a delta."""
    (tmp_path / "deleted_users.csv").touch()
    (tmp_path / "_READY").write_text('{"mode": "delta", "files": {"deleted_users.csv": {}}}')
    assert find_drop(tmp_path).manifest == Manifest(
        "delta", files={"deleted_users.csv": DeclaredFile()}
    )


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"rows": 4}, "expected rows 4, found 3. Deliver the file again, or correct the manifest"),
        ({"sha256": HASH}, f"expected sha256 {HASH}, found "),
    ],
)
def test_a_file_that_is_not_as_declared_refuses_the_drop(
    declared: dict[str, Any], message: str, drop: Path, workspace: Workspace
) -> None:
    """Expected and found are told; rows that were read but are faulty count."""
    read = {file["name"]: file for file in extract(drop, workspace).files}
    entries = {name: DeclaredFile(file["sha256"], file["rows"]) for name, file in read.items()}
    Manifest("snapshot", files=entries).check(read.values())
    Manifest("snapshot").check(read.values())
    (drop / "_READY").write_text(manifest_of({name: {} for name in read} | {"users.csv": declared}))
    with pytest.raises(DropRefused) as refusal:
        extract(drop, workspace)
    assert refusal.value.file == "users.csv"
    beginning = "users.csv is not the file that the manifest _READY lists: "
    assert str(refusal.value).startswith(beginning + message)
    assert not (workspace.folder / "extract.json").exists()


def test_faulty_rows_are_rows(drop: Path, workspace: Workspace) -> None:
    """A row that cannot be split counts, an empty line does not; upper case will do for a hash."""
    with (drop / "users.csv").open("ab") as stream:
        stream.write(b"\n5,too,few\n")
    digest = hashlib.sha256((drop / "users.csv").read_bytes()).hexdigest().upper()
    others = {"compounds.csv": {}, "user_experiments.csv": {}}
    manifest = manifest_of({"users.csv": {"sha256": digest, "rows": 4}, **others})
    (drop / "_READY").write_text(manifest)
    assert extract(drop, workspace).rows["users"] == 4


@pytest.mark.parametrize("name", ["_READY.txt", "_ready", "_Ready.json", "_READY.part"])
def test_a_manifest_under_another_name_refuses_the_drop(name: str, drop: Path) -> None:
    """Without it, a delta would be taken for a whole; what is no manifest means nothing."""
    (drop / name).write_text('\ufeff {"mode": "delta"}')
    with pytest.raises(
        DropRefused, match=f"{name} in .* is a manifest, but .* rename it to _READY"
    ):
        find_drop(drop)
    (drop / name).write_text("complete")
    assert find_drop(drop).mode == "snapshot"


@pytest.mark.parametrize("name", ["_READY", "_READY.txt"])
def test_a_manifest_behind_too_many_blanks_is_no_marker(name: str, drop: Path) -> None:
    """Nobody can tell whether it is a manifest."""
    (drop / name).write_text(" " * (MOST_BYTES + 1) + '{"mode": "delta"}')
    with pytest.raises(DropRefused, match=f"{name} begins with .* without a visible character"):
        find_drop(drop)


@pytest.mark.parametrize("name", ["_READY~", "_READY.bak", "_READY.sha256", "_READY.old"])
def test_a_manifest_stands_beside_what_is_left_of_others(name: str, drop: Path) -> None:
    """By-products are none, and beside a marker no other file is looked at."""
    (drop / name).write_text('{"mode": "delta"}')
    if name == "_READY.old":
        (drop / "_READY").touch()
    assert find_drop(drop).mode == "snapshot"
