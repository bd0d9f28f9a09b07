"""Sequences of snapshots and deltas for property tests, over so few ids that they hit each other.

A delta brings rows that are new or take the place of others, valid or not, and deletes some; what
then is in force is for delta_oracle.py to say.

Usage:
    @given(sequence=sequences())
    def test_...(sequence):
        for number, step in enumerate(sequence):
            step.drop.write(folder / str(number))       # in step.mode
    draw(steps(bases, "delta"))                         # one more, for ids behind the same bases
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from drops import (
    ALL_DIALECTS,
    BESIDE,
    BLANKS,
    DELETIONS,
    IDS_NOT,
    LOST,
    SPELLINGS,
    TABLES,
    THOUSANDS,
    Drop,
    Part,
    Row,
    draw_cells,
    draw_fault,
    id_bases,
)

SIZES = {"users": 4, "compounds": 3, "user_experiments": 8}
"""How many ids a table has, and rows refer to."""
ROWS_PER_FAULT = {"users": 8, "compounds": 8, "user_experiments": 4}
"""One row of so many is faulty: a bad user or compound spoils many experiments."""
DAYS = tuple(f"2026-11-{day}" for day in range(21, 27))
"""Signup dates that lie in the future on some days, and not on later ones."""
SHAPES = ("too_many_fields", "malformed_quotes")
"""What may be wrong with the shape of a row of one column."""
FAULTS = ("no file", "lost part", "deleted")
"""What refuses a drop; `deleted` is an id that a delta brings, too, or any in a snapshot."""


@dataclass(frozen=True)
class Step:
    """A drop, and the run that is to load it."""

    mode: str
    """`snapshot` or `delta`"""
    drop: Drop
    days: int = 0
    """How many days after the run before."""
    allow_empty: bool = True
    max_rejected_percent: int = 100


@st.composite
def sequences(draw: st.DrawFn, *, most: int = 4, refused: bool = False) -> list[Step]:
    """Draw a snapshot and up to so many drops after it, mostly deltas; maybe some refused ones."""
    bases = draw(id_bases())
    modes = st.sampled_from(("delta", "delta", "delta", "delta", "snapshot"))
    later = draw(st.lists(modes, min_size=1, max_size=most))
    first = replace(draw(steps(bases, "snapshot")), allow_empty=True, max_rejected_percent=100)
    return [first, *(draw(steps(bases, mode, refused=refused)) for mode in later)]


@st.composite
def steps(draw: st.DrawFn, bases: dict[str, int], mode: str, *, refused: bool = False) -> Step:
    """Draw a drop of that mode; if so told, some are to be refused."""
    names = {*TABLES}
    if mode == "delta":
        names = draw(st.sets(st.sampled_from((*TABLES, *DELETIONS)), min_size=1))
    parts, brought = [], {table: set[int]() for table in TABLES}
    for table in (table for table in TABLES if table in names):
        rows = _draw_rows(draw, table, bases, is_whole=mode == "snapshot")
        brought[table] = _read_ids(rows)
        parts += _draw_parts(draw, table, rows)
    for table in TABLES:
        if f"deleted_{table}" in names:
            ids = range(bases[table] + 1, bases[table] + SIZES[table] + 2)
            free = [row_id for row_id in ids if row_id not in brought[table]]
            parts += _draw_parts(draw, f"deleted_{table}", _draw_deletions(draw, free))
    # A plain marker would declare a snapshot.
    names_beside = [name for name in BESIDE if mode == "snapshot" or name != "_READY"]
    beside = draw(st.lists(st.sampled_from(names_beside), max_size=1))
    fault = draw(st.sampled_from((*[""] * 9, *FAULTS))) if refused else ""
    if fault == "no file":
        parts = []
    elif fault == "lost part":
        beside.append(draw(st.sampled_from(LOST)))
    elif fault == "deleted":
        table = draw(st.sampled_from(TABLES))
        known = sorted(brought[table]) or [bases[table] + 1]
        deletion = Row((str(draw(st.sampled_from(known))),))
        parts.append(Part(f"deleted_{table}", "_more", (deletion,)))
    return Step(
        mode,
        Drop(tuple(parts), tuple(beside)),
        days=draw(st.integers(0, 2)),
        allow_empty=not refused or draw(st.booleans()),
        max_rejected_percent=draw(st.sampled_from((100, 100, 50))) if refused else 100,
    )


def _draw_rows(draw: st.DrawFn, table: str, bases: dict[str, int], *, is_whole: bool) -> list[Row]:
    """Draw rows of a table: about all of its ids, or a few; some are repeated, some are faulty."""
    size = SIZES[table]
    numbers = draw(st.lists(st.integers(1, size), max_size=3))
    if is_whole:
        numbers = [*range(draw(st.integers(1, 2)), size + 1), *numbers]
    rows = []
    for number in numbers:
        cells = list(draw_cells(draw, table, number, bases, SIZES))
        if table == "users" and draw(st.booleans()):
            cells[3] = draw(st.sampled_from(DAYS))
        elif table == "user_experiments" and draw(st.integers(0, 9)) == 9:
            cells[3] = draw(st.sampled_from(THOUSANDS))
        row = Row(tuple(cells))
        is_faulty = draw(st.integers(1, ROWS_PER_FAULT[table])) == ROWS_PER_FAULT[table]
        rows.append(draw_fault(draw, table, row, bases) if is_faulty else row)
    return rows


def _draw_deletions(draw: st.DrawFn, ids: list[int]) -> list[Row]:
    """Draw rows that delete some of the ids, a few of them twice, and malformed rows."""
    rows = []
    for _ in range(draw(st.integers(0, 3))):
        text = draw(SPELLINGS).format(draw(st.sampled_from(ids)))
        kind = draw(st.sampled_from(("id", "id", "id", "twice", "malformed", *SHAPES)))
        if kind in SHAPES:
            rows.append(Row((text,), kind))
        elif kind == "malformed":
            rows.append(Row((draw(st.sampled_from((*BLANKS, *IDS_NOT, f"{text}\0"))),)))
        else:
            rows += [Row((text,))] * (1 + (kind == "twice"))
    return rows


def _draw_parts(draw: st.DrawFn, table: str, rows: list[Row]) -> list[Part]:
    """Draw one or two files of a table or of its deletions, in any of the named dialects.

    Deletions have no lines of delimiters alone: nobody can tell what the delimiter of one column
    is.
    """
    parts = []
    cut = draw(st.integers(0, len(rows)))
    halves = [rows] if cut == 0 else [rows[:cut], rows[cut:]]
    for suffix, half in zip(("", "_2"), halves, strict=False):
        dialect = draw(st.sampled_from(ALL_DIALECTS))
        if table in DELETIONS:
            empty = (line for line in dialect.empty_lines if dialect.delimiter not in line)
            dialect = replace(dialect, empty_lines=tuple(empty))
        compression = draw(st.sampled_from(("", "", ".gz", ".zst")))
        parts.append(Part(table, suffix, tuple(half), dialect, compression))
    return parts


def _read_ids(rows: list[Row]) -> set[int]:
    """Return what may be the ids of rows."""
    ids = set()
    for row in rows:
        with suppress(ValueError):
            ids.add(int(row.cells[0]))
    return ids
