"""The input contract: tables, columns and the kind of value each column holds.

The one definition of what a drop is; rules.py says which values are faults. A column's *kind*
decides how its cells are typed (reading/sql/kinds.sql) and written back
(store/sql/written_cells.sql).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

DropMode = Literal["snapshot", "delta"]
"""Whether a drop holds everything, or only what has changed since the last load."""

Mode = Literal["auto", DropMode]
"""What a run may say about its drop; auto leaves it to the drop."""

DROP_MODES: tuple[DropMode, ...] = get_args(DropMode)
MODES: tuple[Mode, ...] = get_args(Mode)

MAX_COLUMNS = 10_000
"""Per file; no table has a header with more."""

FIELD_BYTES = 16 * 2**20
"""The most that a field may hold."""

LIST_BYTES = 2**20
"""The most that a list may hold: some 100,000 ids. Many more would take gigabytes to read."""

NAME_BYTES = 64 * 2**10
"""The most that a name may hold: anything longer has a misplaced quote, or is not a name."""


class Kind(Enum):
    """What a cell of a column is read as; the value says what a user must write."""

    INTEGER = "a whole number from -9223372036854775808 to 9223372036854775807"
    INTEGERS = "whole numbers separated by ;"
    NUMBER = "a finite number such as 12.5"
    DATE = "a date written YYYY-MM-DD"
    TEXT = "text"


@dataclass(frozen=True)
class Column:
    """A column of a table. A file may lack one that is optional: its cells are then empty."""

    name: str
    kind: Kind
    description: str
    is_optional: bool = False
    is_name: bool = False
    """Whether it is a name for people: it needs a visible character, and may have fewer bytes."""

    @property
    def max_bytes(self) -> int:
        """The most that a cell may hold, in UTF-8."""
        if self.is_name:
            return NAME_BYTES
        return LIST_BYTES if self.kind is Kind.INTEGERS else FIELD_BYTES

    @property
    def text_name(self) -> str:
        """The column of typed rows that keeps the text of a cell where its value alone does not.

        Beside a value that is NULL, it is the text that could not be typed. Text is its own text.
        """
        return self.name if self.kind is Kind.TEXT else f"{self.name}_text"


@dataclass(frozen=True)
class Table:
    """A table of the drop: one file, or several whose names begin with the table's."""

    name: str
    key: str
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in the contract's order."""
        return tuple(column.name for column in self.columns)

    @property
    def required_names(self) -> tuple[str, ...]:
        """The names of the columns that every file must have."""
        return tuple(column.name for column in self.columns if not column.is_optional)

    def column(self, name: str | None) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def __str__(self) -> str:
        return self.name


USERS = Table(
    "users",
    key="user_id",
    columns=(
        Column("user_id", Kind.INTEGER, "identifies the user, greater than 0"),
        Column("name", Kind.TEXT, "the user's name", is_name=True),
        Column("email", Kind.TEXT, "checked, and kept out of the features"),
        Column("signup_date", Kind.DATE, "checked, and kept out of the features"),
    ),
)

COMPOUNDS = Table(
    "compounds",
    key="compound_id",
    columns=(
        Column("compound_id", Kind.INTEGER, "identifies the compound, greater than 0"),
        Column("compound_name", Kind.TEXT, "the compound's name", is_name=True),
        Column(
            "compound_structure", Kind.TEXT, "its formula; checked, and kept out of the features"
        ),
    ),
)

USER_EXPERIMENTS = Table(
    "user_experiments",
    key="experiment_id",
    columns=(
        Column("experiment_id", Kind.INTEGER, "identifies the experiment, greater than 0"),
        Column("user_id", Kind.INTEGER, "the user who ran it"),
        Column("experiment_compound_ids", Kind.INTEGERS, "the compounds it tested"),
        Column("experiment_run_time", Kind.NUMBER, "how long it ran, in the laboratory's unit"),
    ),
)

TABLES = (USERS, COMPOUNDS, USER_EXPERIMENTS)
"""In the order in which they are checked: experiments refer to users and compounds."""

DELETIONS: Mapping[str, Table] = {
    table.name: Table(f"deleted_{table}", table.key, (table.column(table.key),)) for table in TABLES
}
"""By the name of a table, the one whose rows are the ids that a delta takes away."""

ALL_TABLES = (*TABLES, *DELETIONS.values())

BY_PRODUCTS = {
    "editors": ("*~", "*.bak", "*.swp", "#*#", ".#*", "~$*", ".~lock.*", "*.lock"),
    "checks of files": (
        "*.md5",
        "*.sha1",
        "*.sha256",
        "*.sha512",
        "*.crc",
        "*.asc",
        "*.sig",
    ),
    "checks of folders": ("md5sums*", "sha1sums*", "sha256sums*", "sha512sums*", "manifest-*.txt"),
    "operating systems": (
        "._*",
        ".ds_store",
        "thumbs.db",
        "desktop.ini",
        ".nfs*",
        "*:zone.identifier",
    ),
    "Spark": ("_success", "_committed_*", "_started_*"),
}
"""By-products by origin: names, in lower case, that are ignored in the folder of a drop."""

LINES_PER_FILE = 10**12


def position_of(file_number: int, line: int) -> int:
    """A row's *position*: one integer for its file's number, from 1, and the line it starts on.

    Positions sort the rows of a table in file order. Engines make them when they read parts; in
    SQL: rules/sql/positions.sql.
    """
    return file_number * LINES_PER_FILE + line


def file_number_of(position: int) -> int:
    """The number of the file of the row at a position."""
    return position // LINES_PER_FILE


def line_of(position: int) -> int:
    """The line on which the row at a position starts."""
    return position % LINES_PER_FILE
