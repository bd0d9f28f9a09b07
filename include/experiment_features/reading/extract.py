"""Extract: the files of a drop, each read once, become typed Parquet.

All dialects and spellings end here; so do drops that cannot be read as the contract
asks, before anything is changed.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from experiment_features.contract import TABLES, Table
from experiment_features.drop.files import DropFile, are_known, find_parts
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import DropRefused
from experiment_features.reading.typed_file import (
    Progress,
    convert_file,
    open_converter,
)
from experiment_features.run import Extracted
from experiment_features.workspace import Workspace

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
    known_files: Sequence[DropFile] = (),
    progress: Progress | None = None,
) -> Extracted:
    """Reads every file of a drop and writes its rows, typed, to the workspace.

    Args:
        source: the drop's folder.
        workspace: where ``rows(table)`` gets the typed rows: see convert.convert_file.
        allow_empty: whether a table may have no rows.
        known_files: the files of the last load; when the drop's are the same, they are only hashed.
        progress: told of the rows as they are read; by default the log is.

    Raises:
        DropRefused: a file or column is missing or double, a file is no UTF-8 text, an archive is
            broken, a quote is never closed, or a table has no rows.
    """
    workspace.clear()
    with workspace.stage(Extracted) as stage:
        parts = {table: find_parts(source, table) for table in TABLES}
        files, rising_keys = list(known_files), list[str]()
        is_unchanged = are_known(parts, known_files)
        if not is_unchanged:
            files, rising_keys = _extract_files(parts, workspace, progress or log_progress())
        rows = {
            table.name: sum(file["rows"] for file in files if file["table"] == table.name)
            for table in TABLES
        }
        for table in TABLES:
            if not rows[table.name] and not allow_empty:
                names = ", ".join(path.name for path in parts[table])
                raise DropRefused(
                    f"{table.name} has no rows in {names}: drop the full table, or allow empty "
                    "tables (allow_empty) if that is meant"
                )
        return stage.finish(Extracted(str(source), files, rows, is_unchanged, rising_keys))


def _extract_files(
    parts: dict[Table, Sequence[AnyPath]], workspace: Workspace, progress: Progress
) -> tuple[list[DropFile], list[str]]:
    """Extracts all files; returns what they are, and the tables with rising keys."""
    files: list[DropFile] = []
    rising_keys: list[str] = []
    with open_converter() as database:
        for table, paths in parts.items():
            folder = workspace.fresh_folder(workspace.rows(table.name))
            keys: list[tuple[int, int] | None] = []
            for number, path in enumerate(paths, start=1):
                converted = convert_file(database, table, path, number, folder, progress)
                files.append(converted.file)
                keys.append(converted.keys)
                log.info("read %s: %s rows of %s", path.name, f"{files[-1]['rows']:,}", table.name)
            if all(keys) and all(a[1] < b[0] for a, b in pairwise(keys) if a and b):
                rising_keys.append(table.name)
    return files, rising_keys
