"""Arrival: a drop is complete when its marker file is there.

<watched folder>/2026-11-22/users.csv ...
<watched folder>/2026-11-22/_READY        written last, by whoever brings the drop
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKER = "_READY"

DEPTH = 3
"""How far below a watched folder a drop may lie; searching everything would take too long."""

_SOURCE = re.compile("[^\0\ud800-\udfff]{1,4096}")
"""What may be the name of a folder."""


@dataclass(frozen=True)
class ReadyDrop:
    """A drop with its marker."""

    source: str
    """The drop's folder."""

    stamp: str
    """When the marker was written: written again, it announces the drop again."""


def names_source(event: Any) -> bool:
    """Whether an event, which anybody may post who may write assets, names a drop."""
    source = event.get("source") if isinstance(event, dict) else None
    return isinstance(source, str) and _SOURCE.fullmatch(source) is not None


def state_key(source: str) -> str:
    """The name under which Airflow's state store, which takes 512 characters, keeps a folder."""
    is_plain = len(source) <= 512 and source.isprintable()
    return source if is_plain else hashlib.sha256(source.encode()).hexdigest()


def find_ready_drops(folders: Sequence[str], keep_days: float) -> list[ReadyDrop]:
    """The drops that are complete, in the order of their paths.

    Args:
        folders: where to look, there and below; one that is absent holds no drops.
        keep_days: markers older than this are not looked at: the ledger, which remembers for as
            long, could not tell whether their drops were loaded.
    """
    oldest = time.time() - keep_days * 24 * 60 * 60
    found = {}
    for folder in folders:
        for marker in _find_markers(Path(folder), DEPTH):
            try:
                written = marker.stat()
            except OSError:  # gone since, or not readable
                continue
            if written.st_mtime >= oldest:
                source = str(marker.parent.resolve())
                found[source] = ReadyDrop(source, str(written.st_mtime_ns))
    return [found[source] for source in sorted(found)]


def _find_markers(folder: Path, depth: int) -> Iterator[Path]:
    """The marker files in a folder and below it; links to folders are not followed."""
    try:
        with os.scandir(folder) as entries:
            present = list(entries)
    except OSError:
        return
    for entry in present:
        if entry.name == MARKER and _is_file(entry):
            yield Path(entry.path)
        elif depth and entry.is_dir(follow_symlinks=False) and _is_text(entry.name):
            yield from _find_markers(Path(entry.path), depth - 1)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file; not a link to itself, or to what may not be looked at."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_text(name: str) -> bool:
    """Whether a name can be written as JSON, as Airflow's events are."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)
