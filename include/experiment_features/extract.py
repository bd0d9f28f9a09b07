"""Extract: the files of a drop, each read once, become typed Parquet.

All dialects and spellings end here (convert.py); so do drops that cannot be read as the contract
asks, before anything is changed.
"""

import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from experiment_features.contract import TABLES, Table
from experiment_features.convert import Progress, convert_file, open_converter, opened
from experiment_features.errors import DropRefused
from experiment_features.reader import COMPRESSIONS
from experiment_features.storage import AnyPath
from experiment_features.workspace import Facts, Workspace

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""So often a log hears how far a long file is read."""


def log_progress() -> Progress:
    """Progress for those who read the log: nothing of files that are read in a moment."""
    rows: Counter[str] = Counter()
    logged_at = time.monotonic()

    def log_rows(name: str, more: int) -> None:
        nonlocal logged_at
        rows[name] += more
        if time.monotonic() - logged_at >= LOG_SECONDS:
            logged_at = time.monotonic()
            log.info("reading %s: %s rows so far", name, f"{rows[name]:,}")

    return log_rows


def extract(
    source: AnyPath,
    workspace: Workspace,
    *,
    allow_empty: bool = False,
    known_files: Sequence[Facts] = (),
    progress: Progress | None = None,
) -> Facts:
    """Reads every file of a drop and writes its rows, typed, to the workspace.

    Args:
        source: the drop's folder.
        workspace: where ``rows(table)`` gets the typed rows: see convert.convert_file.
        allow_empty: whether a table may have no rows.
        known_files: the files of the last load; when the drop's are the same, they are only hashed.
        progress: told of the rows as they are read; by default the log is.

    Returns:
        ``source``; ``files``: a list of table, name, bytes, sha256, rows; ``rows``: per table;
        ``is_unchanged``: whether the files are the known ones, and nothing was written;
        ``rising_keys``: tables that are known to have no id twice, since it rises row by row.

    Raises:
        DropRefused: a file or column is missing or double, a file is no UTF-8 text, an archive is
            broken, a quote is never closed, or a table has no rows.
    """
    workspace.clear()
    with workspace.stage("extract") as facts:
        parts = {table: find_parts(source, table) for table in TABLES}
        facts["source"] = str(source)
        facts["is_unchanged"] = _are_known(parts, known_files)
        facts["files"], facts["rising_keys"] = (
            (list(known_files), [])
            if facts["is_unchanged"]
            else _extract_files(parts, workspace, progress or log_progress())
        )
        facts["rows"] = {
            table.name: sum(f["rows"] for f in facts["files"] if f["table"] == table.name)
            for table in TABLES
        }
        for table in TABLES:
            if not facts["rows"][table.name] and not allow_empty:
                names = ", ".join(path.name for path in parts[table])
                raise DropRefused(
                    f"{table.name} has no rows in {names}: drop the full table, or allow empty "
                    "tables (allow_empty) if that is meant"
                )
    return facts


def find_parts(source: AnyPath, table: Table) -> Sequence[AnyPath]:
    """The files of a table in the order of their names.

    Raises:
        DropRefused: the source is no folder, or has none, or the name of one is not UTF-8.
    """
    try:
        present = sorted(
            (path for path in source.iterdir() if path.is_file()), key=lambda path: path.name
        )
    except OSError as error:
        raise DropRefused(
            f"the source {source} cannot be read as a folder ({error.strerror or error}): expected "
            f"a folder with the files of {', '.join(t.name for t in TABLES)}"
        ) from error
    endings = (".csv", *(f".csv{ending}" for ending in COMPRESSIONS))
    parts = [p for p in present if p.name.startswith(table.name) and p.name.endswith(endings)]
    if not parts:
        found = ", ".join(path.name for path in present[:20]) or "no files"
        raise DropRefused(
            f"the source {source} has no file of {table.name}: expected {table.name}.csv, or parts "
            f"{table.name}*.csv, plain, .gz or .zst; found {found}"
        )
    for part in parts:
        try:
            str(part).encode()
        except UnicodeEncodeError as error:
            raise DropRefused(
                f"the path of {part} is not UTF-8, so the run ledger cannot name it: rename the "
                "file or its folder"
            ) from error
    return parts


def holds_files(source: AnyPath, files: Sequence[Facts]) -> bool:
    """Whether a source holds just these files: table, name, bytes and sha256 of each.

    Raises:
        DropRefused: the source is no folder, or lacks a table.
    """
    return _are_known({table: find_parts(source, table) for table in TABLES}, files)


def _are_known(parts: dict[Table, Sequence[AnyPath]], known_files: Sequence[Facts]) -> bool:
    """Whether the files are the known ones: names and sizes first, and hashes if those agree."""
    paths = [(table.name, path) for table, of_table in parts.items() for path in of_table]
    known = [(file["table"], file["name"], file["bytes"]) for file in known_files]
    if [(table, path.name, _size(path)) for table, path in paths] != known:
        return False
    for (_, path), file in zip(paths, known_files, strict=True):
        with opened(path) as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != file["sha256"]:
                return False
    return True


def _size(path: AnyPath) -> int:
    with opened(path) as stream:
        return stream.seek(0, os.SEEK_END)


def _extract_files(
    parts: dict[Table, Sequence[AnyPath]], workspace: Workspace, progress: Progress
) -> tuple[list[Facts], list[str]]:
    """Extracts all files; returns their facts, and the tables with rising keys."""
    files: list[Facts] = []
    rising_keys: list[str] = []
    with open_converter() as database:
        for table, paths in parts.items():
            folder = workspace.fresh_folder(workspace.rows(table.name))
            keys: list[tuple[int, int] | None] = []
            for number, path in enumerate(paths, start=1):
                converted = convert_file(database, table, path, number, folder, progress)
                files.append(converted.facts)
                keys.append(converted.keys)
                log.info("read %s: %s rows of %s", path.name, f"{files[-1]['rows']:,}", table.name)
            if all(keys) and all(a[1] < b[0] for a, b in pairwise(keys) if a and b):
                rising_keys.append(table.name)
    return files, rising_keys
