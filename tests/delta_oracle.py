"""What a sequence of snapshots and deltas must give, stated without the pipeline.

A delta is defined as the snapshot that results. So `follow` works out which rows are in force after
a drop, and `compute` has oracle.py judge them as if they were those of one drop.

Usage:
    state = follow(None, folder, "snapshot")
    state = follow(state, other_folder, "delta")
    compute(state, today).users
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from oracle import (
    COLUMNS,
    Expected,
    RefusedError,
    Row,
    Verdict,
    check_id,
    judge,
    list_files,
    read_snapshot,
    read_table,
    summarise,
    to_integer,
)

KEYS = {table: columns[0] for table, columns in COLUMNS.items()}
DELETIONS_OF = {table: f"deleted_{table}" for table in COLUMNS}
ABSENT = {table: f"{key}_unknown" for table, key in KEYS.items()}
"""The rule that the deletion of an id breaks that is not there: a warning."""
NEVER_TOO_MANY = 10
"""So many rejected rows of a table, or fewer, do not reject a delta."""

Issue = tuple[str, int | None, str, str | None, str | None]
"""table, row_id (None without a readable id), rule, column, value"""


@dataclass(frozen=True)
class State:
    """What is in force after a drop. The name of a row's file begins with the drop's number."""

    rows: dict[str, list[Row]]
    """By table: those of earlier drops that are still in force, and then all of the newest one."""
    own: dict[str, list[Row]]
    """By table: the rows of the newest drop, and those of its deletions."""
    mode: str
    number: int
    below: "State | None"
    """What was in force before."""


@dataclass(frozen=True)
class DeltaExpected(Expected):
    """The features, and the issues of all rows in force and of the newest drop's deletions."""

    open_issues: Counter[Issue]
    """Counted, because the repeats of an id may have the same ones."""
    warnings: int
    healed: int
    judged: dict[str, tuple[int, int]]
    """By table: how many rows of how many max_rejected_percent counts as rejected."""
    mode: str

    @property
    def lasting_issues(self) -> Counter[Issue]:
        """Those that one run over the resulting snapshot gives, too, of rows with a readable id."""
        return Counter(
            {
                issue: count
                for issue, count in self.open_issues.items()
                if issue[0] in COLUMNS and issue[1] is not None
            }
        )

    def is_rejected(self, max_rejected_percent: float) -> bool:
        """Tell whether too many rows of a table are rejected."""
        harmless = NEVER_TOO_MANY if self.mode == "delta" else 0
        return any(
            rejected > harmless and 100 * rejected > max_rejected_percent * rows
            for rejected, rows in self.judged.values()
        )


def follow(below: State | None, folder: Path, mode: str, *, allow_empty: bool = False) -> State:
    """Return what is in force once a drop is loaded.

    Args:
        below: What is in force before, if anything is.
        folder: Holds the drop's files.
        mode: `snapshot` or `delta`.
        allow_empty: Whether a table may have no rows in force.

    Raises:
        RefusedError: The drop cannot be read, or contradicts itself or what is in force.
        UnicodeDecodeError: A file is not UTF-8.
    """
    number = below.number + 1 if below else 1
    if mode == "delta" and not below:
        raise RefusedError("a delta needs a loaded snapshot below it")
    read = read_delta(folder) if mode == "delta" else read_snapshot(folder)
    own = {
        table: [replace(row, file_name=f"{number}/{row.file_name}") for row in found]
        for table, found in read.items()
    }
    state = State({table: own[table] for table in COLUMNS}, own, mode, number, below)
    if mode == "delta":
        rows = {table: [*find_carried_on(state, table), *own[table]] for table in COLUMNS}
        state = replace(state, rows=rows)
    if not allow_empty and not all(state.rows.values()):
        raise RefusedError("a table has no rows")
    return state


def read_delta(folder: Path) -> dict[str, list[Row]]:
    """Return the data rows of a delta's tables, and of its deletions."""
    tables = (*COLUMNS, *DELETIONS_OF.values())
    if not any(list_files(folder, table) for table in tables):
        raise RefusedError("a delta without any file")
    own = {table: read_table(folder, table) for table in tables}
    for table, deletions in DELETIONS_OF.items():
        if find_ids(table, own[table]) & find_ids(table, own[deletions]):
            raise RefusedError(f"an id of {table} is both brought and deleted")
    return own


def read_id(table: str, row: Row) -> int | None:
    """Return a row's id, if it is readable."""
    value = to_integer(row.cells.get(KEYS[table], ""))
    return value if value is not None and value > 0 else None


def find_ids(table: str, rows: Iterable[Row]) -> set[int]:
    """Return the readable ids of rows."""
    return {row_id for row in rows if (row_id := read_id(table, row)) is not None}


def find_carried_on(state: State, table: str) -> list[Row]:
    """Return the rows of a table that the newest drop leaves in force: none without an id."""
    gone = find_ids(table, [*state.own[table], *state.own[DELETIONS_OF[table]]])
    rows = state.below.rows[table]
    return [row for row in rows if read_id(table, row) not in {None, *gone}]


def judge_deletions(state: State, table: str) -> list[Verdict]:
    """Return the verdict on each deletion of a table in the newest drop."""
    seen: set[int] = set()
    there = find_ids(table, state.below.rows[table]) if state.below else set()
    verdicts = []
    for row in state.own.get(DELETIONS_OF[table], []):
        rules = list(row.shape_rules)
        if row.cells:
            rules += check_id(KEYS[table], row.cells[KEYS[table]], seen)
        if find_ids(table, [row]) - there:
            rules.append(ABSENT[table])
        verdicts.append(Verdict(row, rules, frozenset({ABSENT[table]})))
    return verdicts


def compute(state: State, today: date) -> DeltaExpected:
    """Return what a state must give on a day."""
    of_rows = judge(state.rows, today)
    of_deletions = {table: judge_deletions(state, table) for table in COLUMNS}
    verdicts = of_rows | {DELETIONS_OF[table]: found for table, found in of_deletions.items()}
    summary = summarise(verdicts)
    open_issues = Counter(
        issue
        for table in COLUMNS
        for name, found in ((table, of_rows[table]), (DELETIONS_OF[table], of_deletions[table]))
        for verdict in found
        for issue in describe(name, table, verdict)
    )
    return DeltaExpected(
        **vars(summary),
        open_issues=open_issues,
        warnings=sum(
            rule in verdict.warnings
            for found in verdicts.values()
            for verdict in found
            for rule in verdict.rules
        ),
        healed=count_healed(state, of_rows, today),
        judged={
            table: count_judged(state, [*of_rows[table], *of_deletions[table]]) for table in COLUMNS
        },
        mode=state.mode,
    )


def describe(name: str, table: str, verdict: Verdict) -> Iterable[Issue]:
    """Yield the issues of a row of a table, or of its deletions, which then are the name."""
    for rule in verdict.rules:
        column = next((c for c in COLUMNS[table] if rule.startswith(f"{c}_")), None)
        value = verdict.row.cells[column].replace("\0", "\ufffd") if column else None
        yield name, read_id(table, verdict.row), rule, column, value or None


def count_healed(state: State, verdicts: dict[str, list[Verdict]], today: date) -> int:
    """Count the rows of earlier drops that were rejected before, and are valid now."""
    if not state.below:
        return 0
    rejected = summarise(judge(state.below.rows, today)).rejected
    return sum(
        verdict.is_valid and (table, verdict.row.file_name, verdict.row.line) in rejected
        for table, found in verdicts.items()
        for verdict in found
    )


def count_judged(state: State, verdicts: list[Verdict]) -> tuple[int, int]:
    """Count the rejected rows, and all rows, of those that are of the newest drop.

    Of a delta, deletions count as well, and references that are unknown do not.
    """
    own = [verdict for verdict in verdicts if verdict.row.file_name.startswith(f"{state.number}/")]
    rejected = [verdict for verdict in own if not verdict.is_valid]
    if state.mode == "delta":
        rejected = [v for v in rejected if not all(rule.endswith("_unknown") for rule in v.rules)]
    return len(rejected), len(own)
