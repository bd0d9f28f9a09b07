"""Compaction: the rows in force after many layers, as one part of each table.

A delta would otherwise read the parts of every layer below it, and look for each row's id in all
later ones. The layers stay what a load is traced and computed again from; what is compacted only
saves reading them, so it may be lost.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import duckdb
import narwhals as nw

from experiment_features.contract import TABLES, Table
from experiment_features.drop.files import (
    Layer,
    Part,
    compacted_parts,
    count_compacted,
    relied_parts,
    without_compacted,
)
from experiment_features.engines.duckdb_engine import DuckDBEngine
from experiment_features.errors import StorageUnavailable
from experiment_features.store.layers import Layers, count_rows, is_readable
from experiment_features.store.parts import (
    READER_VERSION,
    NamedParts,
    PartStore,
    reader_version,
)

log = logging.getLogger(__name__)

MOST_LAYERS = 8
"""How many deltas are read one by one; those that come next find them compacted.

Compacting a state takes as long as reading some 25 deltas of 1 % of it, or 90 of ten rows.
"""


def without_lost(layers: Sequence[Layer], store: PartStore, seen: Path) -> list[Layer]:
    """The layers, of which what is compacted is there and can be read by this version.

    Args:
        layers: the snapshot first.
        store: where it should be.
        seen: see PartStore.find_lost.
    """
    kept = list(layers)
    while end := count_compacted(kept):
        compacted = compacted_parts(kept)
        is_current = all(reader_version(part) == READER_VERSION for part in compacted)
        if is_current and not store.find_lost(compacted, seen):
            break
        log.warning("what was compacted of %s layers is lost: all of them are read", end)
        kept[end - 1] = without_compacted(kept[end - 1])
    return kept


def can_compact(layers: Sequence[Layer]) -> bool:
    """Whether there are enough layers to be worth it."""
    return len(layers) - max(count_compacted(layers), 1) >= MOST_LAYERS


def compact(
    layers: Sequence[Layer],
    store: PartStore,
    named_parts: NamedParts,
    memory_limit: str,
    spill: Path,
) -> Sequence[Layer]:
    """Compacts the layers below a delta; if that is not possible, the log says so.

    In what is written, ``line_number`` is the position that a row has in the layers, so its parts
    are read as if they had the number 0.

    Args:
        layers: the snapshot first, the delta last; their parts are there.
        store: gets the parts.
        named_parts: those that the ledger names.
        memory_limit: what DuckDB may use.
        spill: a folder for what exceeds it.

    Returns:
        The layers, with what is compacted named in the last but one alone.

    Raises:
        DatabaseUnavailable, DatabaseRefused: the parts cannot be named.
    """
    below = [without_compacted(layer) for layer in layers[:-1]]
    written: list[tuple[Part, Path]] = []
    log.info("compacting %s layers", len(below))
    try:
        with closing(DuckDBEngine(memory_limit, spill)) as engine, ExitStack() as drafts:
            opened = Layers(layers[:-1], store)
            for table in TABLES:
                draft = store.draft(table.name)
                drafts.callback(draft.unlink, missing_ok=True)
                rows = opened.rows(table, engine).filter(is_readable(table))
                rows = rows.with_columns(line_number=nw.col("position")).drop("position")
                engine.write(rows, draft)
                written.append((_part(layers[:-1], table, draft, store), draft))
            below[-1]["compacted"] = [part for part, _ in written]
            compacted = [*below, layers[-1]]
            named_parts.name(compacted)
            for part, draft in written:
                store.keep(part, draft)
    except (
        OSError,
        duckdb.IOException,
        duckdb.OutOfMemoryException,
        StorageUnavailable,
    ) as trouble:
        log.warning("the layers could not be compacted: %s", trouble)
        return layers
    return compacted


def _part(layers: Sequence[Layer], table: Table, draft: Path, store: PartStore) -> Part:
    """What the ledger says of a compacted part, named by the parts that it was made from."""
    parts = [part for part in relied_parts(layers) if part["table"] == table.name]
    names = [[part["part"] for part in layer["parts"]] for layer in layers]
    sha256 = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    return Part(
        table=table.name,
        name=f"{table.name} compacted",
        bytes=draft.stat().st_size,
        sha256=sha256,
        rows=count_rows(draft),
        part=store.name_of(sha256, draft),
        content_sha256=sha256,
        text_bytes=sum(part["text_bytes"] for part in parts),
        ids=None,
    )
