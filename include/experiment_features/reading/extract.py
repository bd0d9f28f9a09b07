"""Extract: the files of a drop, each read once, become parts: typed Parquet.

All dialects and spellings end here; so do drops that cannot be read as the contract asks, before
anything is changed.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from experiment_features.config import Settings
from experiment_features.contract import ALL_TABLES, DropMode, Mode
from experiment_features.drop.arrival import MARKER
from experiment_features.drop.base import LastLoad, Standing, find_standing
from experiment_features.drop.files import (
    Drop,
    Layer,
    Part,
    TableFiles,
    count_compacted,
    find_drop,
    parts_of,
    refuse_changes,
    without_compacted,
)
from experiment_features.drop.local_path import open_local
from experiment_features.drop.object_storage import AnyPath, OpenSource
from experiment_features.drop.open_file import hash_file, size_of
from experiment_features.errors import DropRefused
from experiment_features.reading.new_parts import (
    read_again,
    read_files,
    renewed,
    upgrade_older,
)
from experiment_features.reading.rising_ids import Span, join_spans
from experiment_features.reading.stored_bytes import codec_of
from experiment_features.reading.threads import run_ahead
from experiment_features.reading.typed_file import Progress
from experiment_features.run import Extracted
from experiment_features.store.compaction import can_compact, compact, without_lost
from experiment_features.store.parts import NamedParts, PartStore
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
    store: PartStore,
    named_parts: NamedParts,
    *,
    mode: Mode = "auto",
    unmarked: DropMode = "snapshot",
    last: LastLoad | None = None,
    is_known_delta: bool = False,
    allow_empty: bool = False,
    open_source: OpenSource = open_local,
    memory_limit: str = Settings.memory_limit,
    progress: Progress | None = None,
) -> Extracted:
    """Makes a part of every file of a drop; a file whose bytes are known is only hashed.

    Args:
        source: the drop's folder.
        workspace: of the run.
        store: where the parts are.
        named_parts: those that the ledger names.
        mode: what the run says that the drop is.
        unmarked: what it is if neither the run nor a marker says so.
        last: the last load: when its files are the drop's, the run is unchanged; a delta is built
            on it. Without a database there is none, and a delta is read alone.
        is_known_delta: whether the source has had a delta before, so that a drop which does not
            say what it is must not be taken for a snapshot; nor one whose marker is empty.
        allow_empty: whether a table may have no rows.
        open_source: opens the folder of an earlier drop, to read the files of lost parts again.
        memory_limit: what DuckDB may use.
        progress: told of the rows as they are read; by default the log is.

    Raises:
        DropRefused: a file or column is missing or there twice, a file is not UTF-8 text, an
            archive is broken, a quote is never closed, two files of a table are the same, a
            table has no rows, the drop is not what its manifest says, or a delta has nothing to
            build on.
        DropChanged: a file was written, replaced, added or removed meanwhile.
        PartGone: what a delta builds on is lost.
        StorageUnavailable: the store cannot be read or written.
    """
    progress = progress or log_progress()
    workspace.clear()
    with workspace.stage(Extracted) as stage, ExitStack() as drafts:
        drop = find_drop(source, mode, unmarked)
        files = drop.files
        known = _find_known(str(source), files, store, named_parts)
        if is_known_delta and drop.manifest is None and mode == "auto":
            _refuse_unclear(drop, known, last, str(source))
        others = {
            table: [path for path in paths if path.name not in known]
            for table, paths in files.items()
        }
        read = read_files(others, store, drafts, memory_limit, progress)
        refuse_changes(source, drop)
        found = known | {name: new.part for name, new in read.items()}
        parts = [found[path.name] for of_table in files.values() for path in of_table]
        if drop.manifest:
            drop.manifest.check(parts)
        _refuse_copies(parts)
        own = Layer(run_id="", source=str(source), parts=parts)
        if last and read:  # also if their parts were lost, so that the load names the new ones
            last = replace(last, can_be_unchanged=lambda: False)
        standing = Standing([own])
        if last or store.database_id:
            standing = find_standing(drop, own, last)
        extracted = Extracted(
            source=str(source),
            mode=drop.mode,
            is_unchanged=standing.is_unchanged,
            layers=standing.layers,
            base_run_id=standing.base_run_id,
            last_run_id=last.load.run_id if last and drop.mode == "delta" else None,
            rising_keys=_find_rising_keys(standing.layers),
            database_id=store.database_id,
        )
        if drop.mode != "delta" and not allow_empty:
            _refuse_empty_tables(extracted.rows, files)
        named_parts.name(extracted.layers)
        below = extracted.layers[:-1]
        if last:
            store.refuse_newer(parts_of(below), last.load.run_id)
        seen = workspace.seen_parts
        below = without_lost(below, store, seen)
        compacted, plain = below[: count_compacted(below)], below[count_compacted(below) :]
        new = read_again(plain, store, seen, open_source, drafts, memory_limit, progress)
        new |= upgrade_older(parts_of(renewed(plain, new)), store, drafts, memory_limit)
        if new:
            below = [*compacted, *renewed(plain, new)]
            rising_keys = _find_rising_keys([*below, own])
            extracted = replace(extracted, rising_keys=rising_keys, is_unchanged=False)
        if below != extracted.layers[:-1]:
            extracted = replace(extracted, layers=[*below, extracted.layers[-1]])
            named_parts.name(extracted.layers)
        for part, draft in [*read.values(), *new.values()]:
            store.keep(part, draft)
        if can_compact(below) and not (extracted.is_unchanged or store.is_read_only):
            spill = workspace.scratch / "spill"
            layers = compact(extracted.layers, store, named_parts, memory_limit, spill)
            extracted = replace(extracted, layers=layers)
        return stage.finish(extracted)


def take_parts(
    layers: Sequence[Layer],
    *,
    run_id: str,
    base_run_id: str | None,
    workspace: Workspace,
    store: PartStore,
    named_parts: NamedParts,
    memory_limit: str = Settings.memory_limit,
) -> Extracted:
    """Takes the parts of an earlier load in place of the files of a drop, each brought up to date.

    Args:
        layers: those of the load.
        run_id: the run that loaded them.
        base_run_id: the load that it was built on, if its drop was a delta.
        workspace: of the new run.
        store: where the parts are.
        named_parts: those that the ledger names.
        memory_limit: what DuckDB may use.

    Raises:
        ConfigurationError: a part has been removed, is damaged, or is of a version that cannot be
            brought up to this one.
        StorageUnavailable: the store cannot be read or written.
    """
    workspace.clear()
    layers = [without_compacted(layer) for layer in layers]
    with workspace.stage(Extracted) as stage, ExitStack() as drafts:
        named_parts.name(layers)  # before they are relied on, so that they stay
        parts = store.intact(parts_of(layers), run_id)
        new = upgrade_older(parts, store, drafts, memory_limit)
        taken = renewed(layers, new)
        if new:
            named_parts.name(taken)
        for part, draft in new.values():
            store.keep(part, draft)
        return stage.finish(
            Extracted(
                source=layers[-1]["source"],
                mode="delta" if len(layers) > 1 else "snapshot",
                is_unchanged=False,
                layers=[*taken[:-1], Layer(**{**taken[-1], "run_id": ""})],  # brought by this run
                base_run_id=base_run_id,
                rising_keys=_find_rising_keys(taken),
                database_id=store.database_id,
            )
        )


def _find_known(
    source: str, files: TableFiles, store: PartStore, named_parts: NamedParts
) -> dict[str, Part]:
    """The parts, by file name, of those files whose bytes are known, if the parts are intact."""
    sizes = [size_of(path) for of_table in files.values() for path in of_table]
    named = {
        (part["table"], part["sha256"], codec_of(part["name"])): part
        for part in named_parts.find(sizes)
    }
    named_sizes = {(part["table"], part["bytes"]) for part in named.values()}
    # All others have bytes that are new, and are hashed as they are read.
    doubtful = [
        (table.name, path)
        for table, paths in files.items()
        for path in paths
        if (table.name, size_of(path)) in named_sizes
    ]
    hashes = run_ahead(hash_file, [path for _, path in doubtful])
    known: dict[str, Part] = {}
    for (table_name, path), sha256 in zip(doubtful, hashes, strict=True):
        if part := named.get((table_name, sha256, codec_of(path.name))):
            known[path.name] = {**part, "name": path.name}
    # Before they are relied on, so that they stay.
    named_parts.name([Layer(run_id="", source=source, parts=list(known.values()))])
    are_intact = run_ahead(store.is_intact, known.values())
    return {
        name: part
        for (name, part), is_intact in zip(known.items(), are_intact, strict=True)
        if is_intact
    }


def _refuse_unclear(
    drop: Drop, known: Mapping[str, Part], last: LastLoad | None, source: str
) -> None:
    """Refuses a drop that does not say what it is, unless it is that of the last load."""
    names = [path.name for of_table in drop.files.values() for path in of_table]
    parts = [known[name] for name in names if name in known]
    if last and last.mode == drop.mode and last.is_of(parts) and len(parts) == len(names):
        return
    remedy = (
        f'write {{"mode": "delta"}} or {{"mode": "snapshot"}} into its marker {MARKER}'
        if drop.marker is not None
        else "add its manifest, or run it with the mode delta or snapshot"
    )
    raise DropRefused(f"{source} held a delta before, and does not say what it holds now: {remedy}")


def _find_rising_keys(layers: Sequence[Layer]) -> list[str]:
    """The tables whose ids rise from row to row, in all files of each drop.

    No two rows in force have the same id then: all rows of an id are from one drop.
    """

    def rise(table: str, parts: Sequence[Part]) -> bool:
        ids = [part["ids"] for part in parts if part["table"] == table]
        return not ids or bool(join_spans([Span(*of_file) if of_file else None for of_file in ids]))

    tables = {part["table"] for part in parts_of(layers)}
    return [
        table.name
        for table in ALL_TABLES
        if table.name in tables and all(rise(table.name, layer["parts"]) for layer in layers)
    ]


def _refuse_copies(parts: Sequence[Part]) -> None:
    """Refuses a drop if a file of a table has the same content as another one."""
    names: dict[tuple[str, str], str] = {}
    for part in parts:
        if part["rows"]:
            first = names.setdefault((part["table"], part["content_sha256"]), part["name"])
            if first != part["name"]:
                raise DropRefused(
                    f"{first} and {part['name']} hold the same rows of {part['table']}: expected "
                    "each row in one file. Remove one of the two"
                )


def _refuse_empty_tables(rows: Mapping[str, int], files: TableFiles) -> None:
    for table, paths in files.items():
        if not rows[table.name]:
            names = ", ".join(path.name for path in paths)
            raise DropRefused(
                f"{table.name} has no rows in {names}: deliver the full table, or allow "
                "empty tables (allow_empty) if that is intended"
            )
