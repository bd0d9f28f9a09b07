"""Parts that are written as drafts: of new files, of older parts, and of files that are read again.

Nothing is relied on before it is named in the ledger, so extract keeps drafts only then.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from experiment_features.contract import ALL_TABLES
from experiment_features.drop.files import Layer, Part, TableFiles, list_folder, with_parts
from experiment_features.drop.object_storage import AnyPath, OpenSource
from experiment_features.drop.open_file import hash_file, size_of
from experiment_features.errors import DropChanged, PartGone, TerminalError
from experiment_features.reading.freed_memory import keep_freed_memory
from experiment_features.reading.type_cells import open_typing_database
from experiment_features.reading.typed_file import Progress, type_file
from experiment_features.reading.upgrade_part import upgrade_part
from experiment_features.store.parts import READER_VERSION, PartStore, reader_version
from experiment_features.visible_text import shown

log = logging.getLogger(__name__)


class NewPart(NamedTuple):
    """A part that was written, but not kept yet."""

    part: Part
    draft: Path


def read_files(
    files: TableFiles,
    store: PartStore,
    drafts: ExitStack,
    memory_limit: str,
    progress: Progress,
) -> dict[str, NewPart]:
    """Reads files, and writes their parts as drafts; returns them by file name."""
    read: dict[str, NewPart] = {}
    if not any(files.values()):
        return read
    keep_freed_memory()
    with open_typing_database(memory_limit) as database:
        for table, paths in files.items():
            for path in paths:
                draft = store.draft(table.name)
                drafts.callback(_discard, draft)
                typed = type_file(database, table, path, draft, progress)
                part = Part(
                    **typed.file,
                    part=store.name_of(typed.file["sha256"], draft),
                    content_sha256=typed.content_sha256,
                    text_bytes=typed.text_bytes,
                    ids=typed.ids,
                )
                read[path.name] = NewPart(part, draft)
                rows = f"{part['rows']:,}"
                log.info("read %s: %s rows of %s", shown(path.name), rows, table.name)
    return read


def upgrade_older(
    parts: Sequence[Part], store: PartStore, drafts: ExitStack, memory_limit: str
) -> dict[str, NewPart]:
    """Brings parts of older reader versions up, as drafts; returns them by the older name."""
    older = [part for part in parts if reader_version(part) < READER_VERSION]
    new: dict[str, NewPart] = {}
    if not older:
        return new
    with open_typing_database(memory_limit) as database:
        for part in older:
            draft = store.draft(part["table"])
            drafts.callback(_discard, draft)
            (path,) = store.paths([part], part["table"])
            upgrade_part(database, part, path, draft)
            name = store.name_of(part["sha256"], draft)
            # Its ids are perhaps typed otherwise.
            new[part["part"]] = NewPart({**part, "part": name, "ids": None}, draft)
            log.info("brought %s up to version %s", shown(part["name"]), READER_VERSION)
    return new


def read_again(
    layers: Sequence[Layer],
    store: PartStore,
    seen: Path,
    open_source: OpenSource,
    drafts: ExitStack,
    memory_limit: str,
    progress: Progress,
) -> dict[str, NewPart]:
    """Reads the files of lost parts again, if they are still what they were.

    Args:
        layers: whose parts are looked for.
        store: where they should be.
        seen: see PartStore.find_lost.
        open_source: opens the folders of the drops that they came from.
        drafts: discards what is not kept.
        memory_limit: what DuckDB may use.
        progress: told of the rows as they are read.

    Returns:
        The new parts, by the name of the lost one.

    Raises:
        PartGone: a part is lost, and so is its file, or it has changed.
        StorageUnavailable: the store or a source cannot be read.
    """
    new: dict[str, NewPart] = {}
    for layer in layers:
        for part in store.find_lost(layer["parts"], seen):
            if part["part"] not in new:
                path = _find_file(part, layer["source"], open_source)
                table = next(table for table in ALL_TABLES if table.name == part["table"])
                files = {table: [path] if path else []}
                read = read_files(files, store, drafts, memory_limit, progress)
                if path is None or read[path.name].part["sha256"] != part["sha256"]:
                    raise PartGone(
                        "the delta cannot be built on what was loaded before: the rows of "
                        f"{part['name']} are no longer in the store {store.root}, or are damaged "
                        f"there, and {layer['source']} no longer has this file. Load a snapshot"
                    )
                new[part["part"]] = read[path.name]
    return new


def renewed(layers: Sequence[Layer], new: Mapping[str, NewPart]) -> list[Layer]:
    """The layers with new parts in place of older ones; two files with the same bytes share one."""

    def current(part: Part) -> Part:
        found = new.get(part["part"])
        return {**found.part, "name": part["name"]} if found else part

    return [with_parts(layer, [*map(current, layer["parts"])]) for layer in layers]


def _find_file(part: Part, source: str, open_source: OpenSource) -> AnyPath | None:
    """The file that a part was made from; None if its source does not have it any more."""
    try:
        for path in list_folder(open_source(source)):
            if (path.name, size_of(path)) == (part["name"], part["bytes"]):
                return path if hash_file(path) == part["sha256"] else None
    except (TerminalError, DropChanged) as error:
        log.warning("%s", error)
    return None


def _discard(draft: Path) -> None:
    """Removes a draft, and what was written beside it."""
    for path in draft.parent.glob(f"{draft.stem}.*"):
        path.unlink(missing_ok=True)
