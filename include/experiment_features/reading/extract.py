"""Extract: the files of a drop, each read once, become typed Parquet.

All dialects and spellings end here; so do drops that cannot be read as the contract asks, before
anything is changed.
"""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from experiment_features.config import Settings
from experiment_features.contract import TABLES, Table
from experiment_features.drop.files import (
    DropFile,
    Parts,
    are_known,
    find_parts,
    refuse_changes,
)
from experiment_features.drop.object_storage import AnyPath
from experiment_features.errors import DropRefused
from experiment_features.reading.freed_memory import keep_freed_memory
from experiment_features.reading.rising_ids import join_spans
from experiment_features.reading.type_cells import open_typing_database
from experiment_features.reading.typed_file import Progress, type_file
from experiment_features.run import Extracted
from experiment_features.visible_text import shown
from experiment_features.workspace import Workspace

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""How often the log says how far a long file is read."""


def log_progress() -> Progress:
    """Progress for those who read the log: nothing of files that are read in a moment."""
    rows: Counter[str] = Counter()
    logged_at = time.monotonic()

    def log_rows(name: str, more: int) -> None:
        nonlocal logged_at
        rows[name] += more
        if time.monotonic() - logged_at >= LOG_SECONDS:
            logged_at = time.monotonic()
            log.info("reading %s: %s rows so far", shown(name), f"{rows[name]:,}")

    return log_rows


def extract(
    source: AnyPath | Path,
    workspace: Workspace,
    *,
    allow_empty: bool = False,
    known_files: Sequence[DropFile] = (),
    memory_limit: str = Settings.memory_limit,
    progress: Progress | None = None,
) -> Extracted:
    """Reads every file of a drop and writes its rows, typed, to the workspace.

    Args:
        source: the drop's folder.
        workspace: where ``rows(table)`` gets the typed rows: see type_cells.type_cells.
        allow_empty: whether a table may have no rows.
        known_files: the files of the last load; when the drop's are the same, they are only hashed.
        memory_limit: what DuckDB may use.
        progress: told of the rows as they are read; by default the log is.

    Raises:
        DropRefused: a file or column is missing or there twice, a file is not UTF-8 text, an
            archive is broken, a quote is never closed, two files of a table are the same, or a
            table has no rows.
        DropChanged: a file was written, replaced, added or removed meanwhile.
    """
    workspace.clear()
    with workspace.stage(Extracted) as stage:
        parts = find_parts(source)
        files, rising_keys, text_bytes = list(known_files), list[str](), 0
        is_unchanged = are_known(parts, known_files)
        if not is_unchanged:
            files, rising_keys, text_bytes = _extract_files(
                parts, workspace, memory_limit, progress or log_progress()
            )
        refuse_changes(source, parts)
        rows = {
            table.name: sum(file["rows"] for file in files if file["table"] == table.name)
            for table in TABLES
        }
        if not allow_empty:
            _refuse_empty_tables(rows, parts)
        return stage.finish(
            Extracted(str(source), files, rows, is_unchanged, rising_keys, text_bytes)
        )


def _extract_files(
    parts: Parts, workspace: Workspace, memory_limit: str, progress: Progress
) -> tuple[list[DropFile], list[str], int]:
    """Extracts all files; returns what they are, the tables whose ids rise, and bytes of text."""
    keep_freed_memory()
    files: list[DropFile] = []
    rising: list[str] = []
    text_bytes = 0
    with open_typing_database(memory_limit) as database:
        for table, paths in parts.items():
            folder = workspace.fresh_folder(workspace.rows(table.name))
            spans = []
            names: dict[str, str] = {}  # of the files with rows, by their content
            for number, path in enumerate(paths, start=1):
                typed = type_file(database, table, path, number, folder, progress)
                files.append(typed.file)
                if typed.file["rows"]:
                    _refuse_copy(path.name, names.setdefault(typed.content, path.name), table)
                spans.append(typed.ids)
                text_bytes += typed.text_bytes
                rows = f"{typed.file['rows']:,}"
                log.info("read %s: %s rows of %s", shown(path.name), rows, table.name)
            if join_spans(spans):
                rising.append(table.name)
    return files, rising, text_bytes


def _refuse_copy(name: str, first: str, table: Table) -> None:
    """Refuses a drop if a file of a table is a copy of the first one with its content."""
    if name != first:
        raise DropRefused(
            f"{first} and {name} hold the same rows of {table}: expected each row in one file. "
            "Remove one of the two"
        )


def _refuse_empty_tables(rows: dict[str, int], parts: Parts) -> None:
    for table, paths in parts.items():
        if not rows[table.name]:
            names = ", ".join(path.name for path in paths)
            raise DropRefused(
                f"{table.name} has no rows in {names}: deliver the full table, or allow "
                "empty tables (allow_empty) if that is intended"
            )
