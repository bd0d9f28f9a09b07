"""The manifest of a drop: what its marker declares, if that is more than "the drop is complete".

{"mode": "delta", "base": "manual__2026-11-21", "files": {"users.csv": {"rows": 200}}}
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from experiment_features.contract import DROP_MODES, DropMode, Mode
from experiment_features.drop.arrival import MARKER
from experiment_features.drop.file_names import means_nothing, shown_names
from experiment_features.drop.local_path import FILE
from experiment_features.drop.object_storage import AnyPath
from experiment_features.drop.open_file import opened
from experiment_features.errors import DropRefused
from experiment_features.visible_text import shown

MOST_BYTES = 16 * 2**20
"""The most that a manifest may hold: the names of some 100,000 files."""

_BEGIN = re.compile(rb"[^!-~]*+\{")
"""Whatever stands before the first visible character: a byte order mark, blanks, bytes of UTF-16.

Wider than JSON allows, so that no manifest is taken for a plain marker, and its drop for a whole.
"""

_VISIBLE = re.compile(rb"[!-~]")


@dataclass(frozen=True)
class DeclaredFile:
    """What a manifest says about a file; None where it says nothing."""

    sha256: str | None = None
    """Of the file as it is stored, in lower case."""
    rows: int | None = None
    """Faulty ones included."""


@dataclass(frozen=True)
class Manifest:
    """What a manifest declares."""

    mode: DropMode
    base: str | None = None
    """The load that a delta builds on: its run_id, or the last component of its source."""
    files: Mapping[str, DeclaredFile] | None = None
    """By name: all files of tables and deletions; None if it lists none."""

    def check_names(self, names: Collection[str]) -> None:
        """Refuses a drop whose files of tables and deletions are not those that are listed.

        Raises:
            DropRefused: there is one more, or one fewer.
        """
        if self.files is None:
            return
        if missing := sorted(set(self.files) - set(names)):
            _refuse(
                f"lists {shown_names(missing)}, and the drop has no such file of a table or of "
                "deletions: deliver it, or correct the manifest"
            )
        if unlisted := sorted(set(names) - set(self.files)):
            _refuse(
                f"does not list {shown_names(unlisted)}, and lists files: add it to them, or "
                "remove it from the drop"
            )

    def check(self, files: Iterable[Mapping[str, object]]) -> None:
        """Refuses a drop whose files are not as they are declared.

        Args:
            files: as they were read, each a DropFile.

        Raises:
            DropRefused: the sha256 of a file differs, or the number of its rows.
        """
        for file in files:
            name = str(file["name"])
            declared = (self.files or {}).get(name, DeclaredFile())
            for what, expected in vars(declared).items():
                if expected not in (None, file[what]):
                    raise DropRefused(
                        f"{name} is not the file that the manifest {MARKER} lists: expected "
                        f"{what} {expected}, found {file[what]}. Deliver the file again, or "
                        "correct the manifest",
                        file=name,
                    )


def read_marker(entries: Sequence[AnyPath], source: object) -> bytes | None:
    """The text of the manifest; nothing if the marker is none, None without a marker.

    Raises:
        DropRefused: it cannot be read, or a manifest has another name.
        DropChanged: it is written to meanwhile.
    """
    marker = next((entry for entry in entries if entry.name == MARKER), None)
    if marker is None:
        _refuse_misnamed(entries, source)
        return None
    if marker.stamp and marker.stamp.kind != FILE:
        raise DropRefused(
            f"the marker {MARKER} in {source} is {marker.stamp.kind}: put a regular file there, "
            "which may be empty",
            file=MARKER,
        )
    return _read_manifest(marker)


def _read_manifest(file: AnyPath) -> bytes:
    """The text of a file that is a manifest; nothing if it is none."""
    with opened(file) as stream:
        text = stream.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES and not _VISIBLE.search(text):
        raise DropRefused(
            f"{shown(file.name)} begins with more than {MOST_BYTES} bytes without a visible "
            "character, so that it cannot be told whether it is a manifest: write it anew",
            file=file.name,
        )
    return text if _BEGIN.match(text) else b""


def _refuse_misnamed(entries: Sequence[AnyPath], source: object) -> None:
    """Refuses a manifest such as _READY.txt, without which a delta would be taken for a whole."""
    for entry in entries:
        is_file = entry.stamp is not None and entry.stamp.kind == FILE
        is_like_marker = entry.name.lower().startswith(MARKER.lower())
        if not (is_file and is_like_marker) or means_nothing(entry.name):
            continue
        if _read_manifest(entry):
            raise DropRefused(
                f"{shown(entry.name)} in {source} is a manifest, but would not be read: rename it "
                f"to {MARKER}, or remove it",
                file=entry.name,
            )


def decide_mode(
    parameter: Mode, manifest: Manifest | None, *, has_marker: bool, unmarked: DropMode
) -> DropMode:
    """What a drop is, by its marker and by the parameter ``mode`` of the run; else ``unmarked``.

    Raises:
        DropRefused: they contradict each other.
    """
    if not has_marker:
        return unmarked if parameter == "auto" else parameter
    declared: DropMode = manifest.mode if manifest else "snapshot"
    if parameter in ("auto", declared):
        return declared
    by = "the manifest {} declares" if manifest else "the marker {} is no manifest, so it declares"
    raise DropRefused(
        f"{by.format(MARKER)} a {declared}, but the run's parameter mode is {parameter}: run it "
        f'with mode auto or {declared}, or write {{"mode": "{parameter}"}} into {MARKER} if the '
        f"drop is a {parameter}",
        file=MARKER,
    )


def parse_manifest(text: bytes) -> Manifest:
    """Reads a manifest.

    Raises:
        DropRefused: it is not as the contract asks.
    """
    found = _parse_json(text)
    _refuse_unknown(found, ("mode", "base", "files"), "")
    mode, base, files = found.get("mode"), found.get("base"), found.get("files")
    if mode not in DROP_MODES:
        given = f"has the mode {_describe(mode)}" if "mode" in found else "has no mode"
        _refuse(f'{given}: expected "mode": "snapshot" or "mode": "delta"')
    if "base" in found and not (isinstance(base, str) and base):
        _refuse(
            f"has the base {_describe(base)}: expected the run_id of the last load, or the last "
            "part of its source, as text. Correct it, or leave it out"
        )
    if base and mode == "snapshot":
        _refuse(
            f"declares a snapshot with the base {_describe(base)}, and a snapshot builds on no "
            'other load: write "mode": "delta" if the drop holds only what has changed; otherwise '
            "remove the base"
        )
    if "files" in found:
        files = {name: _declared(shown(name), of) for name, of in _object("files", files).items()}
    return Manifest(cast("DropMode", mode), base, files)


def _declared(name: str, given: Any) -> DeclaredFile:
    file = _object(name, given)
    _refuse_unknown(file, ("sha256", "rows"), f" for {name}")
    sha256, rows = file.get("sha256"), file.get("rows")
    is_hash = isinstance(sha256, str) and re.fullmatch("[0-9a-fA-F]{64}", sha256)
    if "sha256" in file and not is_hash:
        _refuse(
            f"has the sha256 {_describe(sha256)} for {name}: expected 64 hexadecimal digits, as "
            "sha256sum prints them. Correct it, or leave it out"
        )
    if "rows" in file and (type(rows) is not int or rows < 0):
        _refuse(
            f"has the rows {_describe(rows)} for {name}: expected their number, a whole number "
            "from 0 on without quotes. Correct it, or leave it out"
        )
    return DeclaredFile(sha256.lower() if sha256 else None, rows)


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"has {_describe(value)} for {name}: expected an object, in braces")
    return value


def _refuse_unknown(found: Mapping[str, Any], keys: Collection[str], place: str) -> None:
    if unknown := [key for key in found if key not in keys]:
        _refuse(
            f"has the unknown key {shown_names(unknown)}{place}: expected only {', '.join(keys)}. "
            "Correct or remove it"
        )


def _parse_json(text: bytes) -> Any:
    """The object; a text that begins with a brace holds one, or is not valid."""
    if len(text) > MOST_BYTES:
        _refuse(f"is larger than {MOST_BYTES // 2**20} MiB: expected a short JSON object")
    if b"\0" in text:
        _refuse("holds NUL bytes, as UTF-16 does: expected UTF-8. Save it as UTF-8")
    try:
        return json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=_each_once, parse_int=_parse_integer
        )
    except UnicodeDecodeError as error:
        offset = f"the byte at offset {error.start} is not UTF-8"
        _refuse(f"cannot be read: {offset}. Save it as UTF-8", cause=error)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        _refuse(
            f"is not valid JSON at {place}: {error.msg}. Correct it; for a snapshot, the marker "
            "may also be empty",
            line=error.lineno,
            cause=error,
        )
    except RecursionError as error:
        _refuse("is nested too deeply: expected the keys mode, base and files", cause=error)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _refuse(f"has the key {shown(key)} twice in the same object: remove one of them")
        found[key] = value
    return found


def _parse_integer(digits: str) -> int | float:
    """A number too long for any count is none: Python refuses to read thousands of digits."""
    return int(digits) if len(digits) < 20 else float(digits)


def _describe(value: Any) -> str:
    """A value for a message; lists and objects may be long or deep."""
    kinds: dict[type, str] = {dict: "an object", list: "a list"}
    return kinds.get(type(value)) or shown(json.dumps(value, ensure_ascii=False))


def _refuse(fault: str, *, line: int | None = None, cause: Exception | None = None) -> NoReturn:
    raise DropRefused(f"the manifest {MARKER} {fault}", file=MARKER, line=line) from cause
