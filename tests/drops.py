"""Whole drops for property tests: random rows, random faults, every dialect the contract takes.

A drop is made in two steps. First its rows as their authors mean them: values that are right, and
faults, of which `BAD_CELLS` and `BAD_SHAPES` name every rule. Then, part by part, a dialect in
which `render` writes them. What the drop must give is for the oracle to say.

Usage:
    @given(drop=drops())
    def test_...(drop): drop.write(folder)              # random rows, parts and dialects
    drop.in_dialect(dialect)                            # the same rows, for each of ALL_DIALECTS
    one_fault("users", "name_missing", value=" ")       # the fault is in the table's last row
"""

import gzip
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
from hypothesis import strategies as st

COLUMNS = {
    "users": ("user_id", "name", "email", "signup_date"),
    "compounds": ("compound_id", "compound_name", "compound_structure"),
    "user_experiments": (
        "experiment_id",
        "user_id",
        "experiment_compound_ids",
        "experiment_run_time",
    ),
}
TABLES = tuple(COLUMNS)
DELETIONS = {f"deleted_{table}": columns[:1] for table, columns in COLUMNS.items()}
"""What a delta may have besides: the ids of rows that are gone."""

# fmt: off
# Values that loaders like to misread, and that are nothing but text.
NASTY_TEXTS = (
    "NA", "N/A", "null", "NULL", "None", "nan", "\\N", "-", "0", "007", "1e5", "true", "2024-01-01",
    "=1+1", "@SUM(A1)", "+1", "# no comment", "<b>bold</b>", "'; drop table users; --", "%s {0}",
    'say "hi"', '"', '""', '"quoted"', '5" disk', "O'Connor", "back\\slash", 'back\\"quote', "\\",
    "de la Cruz, Sofía", "a;b", "a|b", "a\tb", ",", ";;", ',"', '",\n"',
    "two\nlines", "two\r\nlines", "two\rlines", "\nfirst", "last\n", "a\n\n\nb", 'x"\n"y',
    "עברית", "مرحبا، عالم", "\u202eright to left", "👩🏽\u200d🔬", "e\u0301", "李小红", "ﬁ", "İı",
    "no\u00a0break", "zero\u200bwidth", "\ufeffmark", "line\u2028separator", "a\x1fb",
)
# Values in which there is nothing to see: text, but no name.
INVISIBLE_TEXTS = (
    "\u00a0", "\u200b", "\ufeff", "\u202e \u202c", "\u2003\u200d", "\u2028", "\u3164", "\ufe0f",
    "\x0b", "\x85", "\x1a", "\x1f\x1f", "\n", "\r\n \n",
)
EMAILS = ("ann@example.org", "a.b+c@example.co.uk", "josé@exämple.org", '"q"@example.org', "a@b.c.")
DATES = ("2022-01-01", "2024-02-29", "2000-02-29", "1970-01-01", "1899-12-31", "0001-01-01")
RUN_TIMES = (
    "", " ", "0", "-0", "-0.0", "7", "12.5", "+2.50", "00012.5", ".5", "5.", "0.1", "0.2", "0.3",
    "1e3", "1E-3", "2.5e+2", "1e11", "999999999999.99", "0.0000000005", "0.0000000004999999",
    "1.250", "0.125", "+12.345", ".500", "1250.001", "1.250e3",
    "12.3456789125", "3.33333333333333333333", "0.000000001", "1e-30",
    "8388607.999999999", "8388608.123456", "1700000000.000001", "8589934592.001",
)
SEPARATORS = (";", "; ", " ; ", ";\t", ";;", "; ;")
SUFFIXES = (
    "", "_2024-01", "_2024-02", "_10", "_2", "-a", "_B", " copy", ".1", " [a-b]*?{c,d} 'e\" %41#2",
    "\nx", "-é名", ".csv", "~", "&=;$",
)
BESIDE = (
    "users.csv~", "Compounds.csv.sha256", "user_experiments.CSV.bak", "._users.csv", "notes.txt",
    "my_users.csv", "_READY", "Thumbs.db", "-[a-b]*", "deleted_users.csv.md5",
)  # files that make no difference
LOST = ("users_2.csv.bz2", "USERS.xlsx", "user_experiments.csv.part", "deleted_compounds.csv")

# Values that are not what their column asks for.
BLANKS = ("", " ", "\t", " \t ")
INTEGERS_NOT = (
    "x", "1.0", "1e3", "1_000", "0x10", "1 2", "1,000", "1;2", "- 5", "--5", "+", "-", "NA", "nan",
    "9223372036854775808", "-9223372036854775809", "99999999999999999999999999", "1\n", "\n1", "#1",
    "१२", "１", "²", "1\u00a0", "\u00a01", "1\u200b", "\u22121", "'1", '"1', "true",
)
IDS_NOT = (*INTEGERS_NOT, "0", "-0", "-1", "+00", "-9223372036854775808")
EMAILS_NOT = ("", "nobody", "a@b", "@b.org", "a@b@c.org", "a b@c.org", "a@.", "a@b.org\n", "NA")
DATES_NOT = (
    "", " ", "2023-02-29", "1900-02-29", "2023-13-01", "2023-00-10", "2023-1-5", "0000-01-01",
    "05/01/2023", "2023/01/05", "05.01.2023", "20230105", "2023-W01-1", "2023-001", "23-01-05",
    "2023-01-05T10:00:00", "2023-01-05 10:00", "2023-01-05Z", "2023-01-05 (BC)", "2023-01-05\n",
    "+2023-01-05", "-2023-01-05", "12023-01-05", "２０23-01-05", "2023\u201301\u201305", "44931",
    "NA", "today", "epoch", "infinity",
)
LISTS_NOT = (
    "x", "1;x", "1.0", "1;1e0", "1,2", "1 2", "1|2", "[1;2]", "{1}", '"1";2', "1;;NA", "1;-",
    "1;9223372036854775808", "1;\n2", "1;\u00a02", "1;２", "<unknown>;x",
)
RUN_TIMES_NOT = (
    "abc", "NA", "NaN", "nan", "inf", "-inf", "Infinity", "1e999", "-1e999", "1_0", "1,5", "true",
    "0x10", "0x1p3", "1d", "1f", "12 s", "12%", "$5", "00:12:30", "1 000", "1.2.3", "１２", "1\n",
    "--1", "1e", ".", "e5", "+",
)
THOUSANDS = (
    "12,5", "1,250", "-0,5", ",5", "5,", "1.250,75", "1 250,5", "1,5e3", "1.250.000", "12,5 h",
    "12,50 EUR", "EUR 12,50", "\u20ac12,50/h", "ca. 12,5 s", "12,5\u00a0", "12,5\u202f", "12,5\u2009",
    "1\u2009250,5", "12, 5", "12\u200b,5", "(12,5)", "12,5-", "=12,5", "'12,5", "12\u066b5", "12\uff0c5",
    "12,- EUR", "1.250.000 s", "\u2212,5", "5,\u00a0", "\u0661\u0662\u066b\u0665",
)  # numbers that show that points separate thousands
AMBIGUOUS = ("1.250", "+12.345", "0.125", ".500", "999999999999.999", "-1.250")
RUN_TIMES_OUT_OF_RANGE = (
    "-1", "-0.01", "-1e-9", "1e12", "1000000000000", "999999999999.99999", "1e300", "-1e300",
)
# fmt: on

# Every rule about a cell: its column, and values that break it. FIRST stands for the id of the
# table's first row, UNKNOWN for an id that no row has; both may be spelled in another way.
FIRST, UNKNOWN = "<first>", "<unknown>"
BAD_CELLS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "users": {
        "user_id_missing": ("user_id", BLANKS),
        "user_id_invalid": ("user_id", IDS_NOT),
        "user_id_repeated": ("user_id", (FIRST, f"+{FIRST}", f"00{FIRST}")),
        "name_missing": ("name", (*BLANKS, *INVISIBLE_TEXTS)),
        "nul_byte": ("name", ("\0", "Ann\0", "\0Ann", 'A\0"nn"', "\0\n")),
        "email_invalid": ("email", EMAILS_NOT),
        "signup_date_invalid": ("signup_date", DATES_NOT),
        "signup_date_in_future": ("signup_date", ("9999-12-31", "2999-01-01")),
    },
    "compounds": {
        "compound_id_missing": ("compound_id", BLANKS),
        "compound_id_invalid": ("compound_id", IDS_NOT),
        "compound_id_repeated": ("compound_id", (FIRST, f"+{FIRST}", f"00{FIRST}")),
        "compound_name_missing": ("compound_name", (*BLANKS, *INVISIBLE_TEXTS)),
        "compound_structure_missing": ("compound_structure", BLANKS),
        "nul_byte": ("compound_structure", ("\0", "C\0H4", '\0"')),
    },
    "user_experiments": {
        "experiment_id_missing": ("experiment_id", BLANKS),
        "experiment_id_invalid": ("experiment_id", IDS_NOT),
        "experiment_id_repeated": ("experiment_id", (FIRST, f"+{FIRST}", f"00{FIRST}")),
        "user_id_missing": ("user_id", BLANKS),
        "user_id_invalid": ("user_id", INTEGERS_NOT),
        "user_id_unknown": ("user_id", (UNKNOWN, "0", "-1", "9223372036854775807", "-0")),
        "experiment_compound_ids_missing": ("experiment_compound_ids", (*BLANKS, ";", " ; ;\t")),
        "experiment_compound_ids_invalid": ("experiment_compound_ids", LISTS_NOT),
        "experiment_compound_ids_unknown": (
            "experiment_compound_ids",
            (UNKNOWN, f"{UNKNOWN};{UNKNOWN}", "0", "-1", "9223372036854775807; "),
        ),
        "experiment_run_time_invalid": ("experiment_run_time", RUN_TIMES_NOT),
        "experiment_run_time_ambiguous": ("experiment_run_time", AMBIGUOUS),
        "experiment_run_time_out_of_range": ("experiment_run_time", RUN_TIMES_OUT_OF_RANGE),
        "nul_byte": ("experiment_run_time", ("\0", "1\0", "\x001", "1\x002")),
    },
}
# What has to stand in an earlier row for a rule to be broken; it breaks the other one.
COMPANIONS = {"experiment_run_time_ambiguous": ("experiment_run_time_invalid", "12,5")}
# Every rule about the shape of a row, in any table.
BAD_SHAPES = ("too_few_fields", "too_many_fields", "malformed_quotes")
# What stands behind a closing quote, as people and their tools leave it.
TAILS = (" Smith", "x", 'the" Smith"', ' "Smith"', ' disk"')


@dataclass(frozen=True)
class Row:
    """A row as it is meant: the cells in the order of COLUMNS, and what is wrong with its shape."""

    cells: tuple[str, ...]
    fault: str = ""


@dataclass(frozen=True)
class Dialect:
    """How a file is written; what is a tuple holds the choices, taken at random by the seed."""

    name: str = "plain"
    delimiter: str = ","
    before: tuple[str, ...] = ("",)
    """Padding before a field: blanks and tabs, only blanks when the delimiter is the tab."""
    after: tuple[str, ...] = ("",)
    edges: bool = True
    """Whether the line's first field is padded before, and its last one after."""
    inside: tuple[str, ...] = ("",)
    """Padding at both ends within the quotes: blanks and tabs."""
    quoting: str = "needed"
    """`needed`: only what the contract asks for; `minimal`: as most writers do; `all`; `random`."""
    newlines: tuple[str, ...] = ("\n",)
    empty_lines: tuple[str, ...] = ()
    """What stands on the empty lines that are strewn in, before the header and at the end too."""
    sep_line: bool = False
    """Whether the first line tells Excel the delimiter."""
    leading_line: bool = False
    """Whether the first line is empty."""
    final_newline: bool = True
    bom: bool = False
    shuffled: bool = False
    """Whether the columns, extra ones included, stand in another order."""
    header_case: str = "lower"
    """A method of str."""
    extra_columns: tuple[str, ...] = ()
    seed: int = field(default=0, repr=False)


@dataclass(frozen=True)
class Part:
    """A file of a drop."""

    table: str
    suffix: str
    rows: tuple[Row, ...]
    dialect: Dialect = field(default_factory=Dialect)
    compression: str = ""
    shouted: bool = False
    tail: bytes = b""
    """What stands behind the end of gzip data, and is passed over."""
    joined: Dialect | None = None
    """How a second file is written that `cat` joined to the first: header, then half of the rows."""
    has_hole: bool = False
    """Whether a block in its middle was never written."""

    @property
    def file_name(self) -> str:
        """The bare name, by which issues name the file."""
        name = f"{self.table}{self.suffix}.csv{self.compression}"
        return name.upper() if self.shouted else name

    def write(self, folder: Path) -> None:
        """Write the file."""
        content = self._render()
        if self.has_hole:
            middle = len(content) // 2
            content = content[:middle] + bytes(512) + content[middle:]
        if self.compression == ".gz":
            content = gzip.compress(content, mtime=0) + self.tail
        elif self.compression == ".zst":
            content = pa.Codec("zstd").compress(content, asbytes=True)
        (folder / self.file_name).write_bytes(content)

    def _render(self) -> bytes:
        if not self.joined:
            return render(self.table, self.rows, self.dialect)
        half = len(self.rows) // 2
        first = render(self.table, self.rows[:half], replace(self.dialect, final_newline=True))
        return first + render(self.table, self.rows[half:], self.joined)


@dataclass(frozen=True)
class Change:
    """What becomes of a file while it is read."""

    part: Part
    """The file as it is afterwards."""
    in_place: bool
    """Whether it is written over, not replaced."""
    once_read: bool
    """Whether this happens after the first read, not before it."""

    def make(self, folder: Path) -> None:
        """Change the file."""
        if not self.in_place:
            (folder / self.part.file_name).unlink()
        self.part.write(folder)


@dataclass(frozen=True)
class Drop:
    """All files of a drop."""

    parts: tuple[Part, ...]
    beside: tuple[str, ...] = ()
    """The names of other files."""
    change: Change | None = None

    def write(self, folder: Path) -> Path:
        """Write the files into the folder, made if need be, and return it."""
        folder.mkdir(parents=True, exist_ok=True)
        for part in self.parts:
            part.write(folder)
        for name in self.beside:
            (folder / name).write_bytes(b"user_id,name\n9,Zoe\n")
        return folder

    def in_dialect(self, dialect: Dialect) -> "Drop":
        """Return the same rows in the same parts, all written in one dialect."""
        return replace(self, parts=tuple(replace(part, dialect=dialect) for part in self.parts))


def render(table: str, rows: Sequence[Row], dialect: Dialect) -> bytes:
    """Return the file's bytes before compression: header and rows in the dialect."""
    rng = random.Random(dialect.seed)  # noqa: S311
    names = [*(COLUMNS | DELETIONS)[table], *dialect.extra_columns]
    order = list(range(len(names)))
    if dialect.shuffled:
        rng.shuffle(order)
    header = Row(tuple(getattr(name, dialect.header_case)() for name in names))
    lines = [f"sep={dialect.delimiter}"] * dialect.sep_line + [""] * dialect.leading_line
    for row in (header, *rows):
        while dialect.empty_lines and rng.random() < 0.3:
            lines.append(rng.choice(dialect.empty_lines))
        extra = [] if row is header else rng.choices(NASTY_TEXTS, k=len(dialect.extra_columns))
        cells = [*row.cells, *extra]
        lines.append(_render_row([cells[i] for i in order], row.fault, dialect, rng))
    if dialect.empty_lines:
        lines += rng.choices(dialect.empty_lines, k=rng.randint(0, 2))
    ended = [line + rng.choice(dialect.newlines) for line in lines[:-1]] + lines[-1:]
    if dialect.final_newline:
        ended.append(rng.choice(dialect.newlines))
    return ("\ufeff" * dialect.bom + "".join(ended)).encode()


def _render_row(cells: list[str], fault: str, dialect: Dialect, rng: random.Random) -> str:
    if fault == "too_few_fields":
        cells = cells[: rng.randint(1, len(cells) - 1)]
    elif fault == "too_many_fields":
        cells = cells + rng.choices(["", "more", "1"], k=rng.randint(1, 3))
    elif fault == "malformed_quotes":  # on one line: on more, the file is refused
        cells = [cell.replace("\r", " ").replace("\n", " ") for cell in cells]
    # Without quotes, a row of nothing would be an empty line.
    is_bare = not any(cell.strip(" \t") for cell in cells)
    fields = [_render_cell(cell, dialect, rng, must_quote=is_bare) for cell in cells]
    if fault == "malformed_quotes":
        at = rng.randrange(len(fields))
        fields[at] = f'"{_double_quotes(cells[at])}"{rng.choice(TAILS)}'
    first, last = 0, len(fields) - 1
    return dialect.delimiter.join(
        ("" if at == first and not dialect.edges else rng.choice(dialect.before))
        + text
        + ("" if at == last and not dialect.edges else rng.choice(dialect.after))
        for at, text in enumerate(fields)
    )


def _render_cell(text: str, dialect: Dialect, rng: random.Random, *, must_quote: bool) -> str:
    needed = (
        must_quote
        or any(sign in text for sign in (dialect.delimiter, "\r", "\n"))
        or text.lstrip(" \t").startswith('"')
    )
    quoted = (
        needed
        or {
            "needed": False,
            "minimal": any(sign in text for sign in '" \t'),
            "all": True,
            "random": rng.random() < 0.5,
        }[dialect.quoting]
    )
    if not quoted:
        return text
    return f'"{rng.choice(dialect.inside)}{_double_quotes(text)}{rng.choice(dialect.inside)}"'


def _double_quotes(text: str) -> str:
    return text.replace('"', '""')


HAND_OUT = Dialect(
    "hand_out",
    before=("\t",),
    edges=False,
    newlines=("\r\n",),
    leading_line=True,
    final_newline=False,
)
RAGGED = ("", " ", "\t", " \t ")
ALL_DIALECTS: list[Dialect] = [
    HAND_OUT,
    Dialect("comma"),
    Dialect("comma_crlf_minimal", newlines=("\r\n",), quoting="minimal"),
    Dialect("comma_cr", newlines=("\r",)),
    Dialect("comma_all_quoted", quoting="all"),
    Dialect("comma_blank_padded", before=(" ",), after=(" ",)),
    Dialect("comma_ragged", before=RAGGED, after=RAGGED, inside=RAGGED, quoting="random"),
    Dialect("tab", delimiter="\t"),
    Dialect("tab_crlf_all_quoted", delimiter="\t", newlines=("\r\n",), quoting="all"),
    Dialect("tab_blank_padded", delimiter="\t", before=("", " "), after=("", " "), inside=RAGGED),
    Dialect("tab_cr_bom", delimiter="\t", newlines=("\r",), bom=True, quoting="random"),
    Dialect("semicolon", delimiter=";"),
    Dialect("semicolon_crlf_bom", delimiter=";", newlines=("\r\n",), bom=True, quoting="minimal"),
    Dialect("semicolon_tab_padded", delimiter=";", before=("\t",), after=("\t",), quoting="all"),
    Dialect("pipe", delimiter="|"),
    Dialect("pipe_blank_padded", delimiter="|", before=(" ",), after=(" ",), edges=False),
    Dialect("pipe_ragged_crlf", delimiter="|", before=RAGGED, after=RAGGED, newlines=("\r\n",)),
    Dialect("padded_inside_quotes", quoting="all", inside=(" ", "\t"), before=("", " ")),
    Dialect("mixed_newlines", newlines=("\n", "\r\n", "\r"), quoting="random"),
    Dialect("empty_lines", empty_lines=BLANKS, leading_line=True),
    Dialect("empty_lines_cr", delimiter=";", empty_lines=("", "  "), newlines=("\r",)),
    Dialect("bare_lines", empty_lines=(",,,", ",", " ,\t,,,,", ""), newlines=("\r\n",)),
    Dialect("bare_lines_tab", delimiter="\t", empty_lines=("\t\t\t", "\t", " \t ")),
    Dialect("sep_line", delimiter=";", sep_line=True, bom=True, newlines=("\r\n",)),
    Dialect("sep_line_tab", delimiter="\t", sep_line=True, leading_line=True, quoting="random"),
    Dialect("no_final_newline", final_newline=False, quoting="minimal"),
    Dialect("bom_empty_first_line", bom=True, leading_line=True),
    Dialect("other_order", shuffled=True, seed=1, header_case="upper"),
    Dialect("extra_columns", shuffled=True, seed=2, extra_columns=("", "Notes, etc."), bom=True),
    Dialect(
        "everything",
        delimiter=";",
        before=RAGGED,
        after=RAGGED,
        inside=RAGGED,
        quoting="random",
        newlines=("\n", "\r\n", "\r"),
        empty_lines=RAGGED,
        bom=True,
        final_newline=False,
        shuffled=True,
        header_case="title",
        extra_columns=("Comment",),
        seed=3,
    ),
]

CLEAN = {
    "users": (
        ("1", "Ann", "ann@example.org", "2024-02-29"),
        ("2", "Bob", "bob@example.org", "2023-01-01"),
        ("3", "Cyd", "cyd@example.org", "2022-12-31"),
    ),
    "compounds": (("1", "Water", "H2O"), ("2", "Ethanol", "C2H6O"), ("3", "Methane", "CH4")),
    "user_experiments": (
        ("1", "1", "1;2", "10.5"),
        ("2", "1", "2", ""),
        ("3", "2", "3;1;3", "0.25"),
    ),
}
# Every fault there is: table, rule, and the value that breaks it ("" for the shape of a row).
EVERY_FAULT = [
    (table, rule, value)
    for table, rules in BAD_CELLS.items()
    for rule, (_, values) in rules.items()
    for value in values
] + [(table, rule, "") for table in TABLES for rule in BAD_SHAPES]


def one_fault(table: str, rule: str, value: str) -> Drop:
    """Return a drop, clean but for the last row of one table, which breaks one rule.

    A NUL byte among the experiments breaks the run time's rule too: none of their columns is text.
    A rule of COMPANIONS needs a faulty row before it.
    """
    rows = {name: [Row(cells) for cells in clean] for name, clean in CLEAN.items()}
    new = Row(("9", *CLEAN[table][0][1:]))
    if rule in COMPANIONS:
        first = replace(new, cells=("8", *new.cells[1:]))
        rows[table].append(_break(first, table, *COMPANIONS[rule], dict.fromkeys(TABLES, 0)))
    rows[table].append(_break(new, table, rule, value, dict.fromkeys(TABLES, 0)))
    return Drop(tuple(Part(name, "", tuple(rows[name])) for name in TABLES))


def every_fault(*table_and_rule: str) -> Drop:
    """Return a drop in which every row of EVERY_FAULT, or of a rule, stands behind clean ones."""
    rows = {name: [Row(cells) for cells in clean] for name, clean in CLEAN.items()}
    faults = [fault for fault in EVERY_FAULT if table_and_rule in ((), fault[:2])]
    faults += [(table, *COMPANIONS[rule]) for table, rule, _ in faults if rule in COMPANIONS]
    for number, (table, rule, value) in enumerate(faults, start=1000):
        new = Row((str(number), *CLEAN[table][0][1:]))
        rows[table].append(_break(new, table, rule, value, dict.fromkeys(TABLES, 0)))
    return Drop(tuple(Part(name, "", tuple(rows[name])) for name in TABLES))


def run_times_of_all_sizes() -> Drop:
    """Return a drop with run times of two decimals: great ones, great sums, and random ones."""
    rng = random.Random(0)  # noqa: S311
    run_times = [("1", "999999999999")] * 9_008 + [("2", "999999999999.99")] * 7
    for user_id in range(3, 103):
        size = 10 ** rng.randint(3, 14)
        run_times += [(str(user_id), f"{rng.randrange(size) / 100:.2f}") for _ in range(9)]
    rows = {
        "users": [(str(i), "Ann", "ann@example.org", "2024-02-29") for i in range(1, 103)],
        "compounds": CLEAN["compounds"],
        "user_experiments": [
            (str(number), user_id, "1;2", run_time)
            for number, (user_id, run_time) in enumerate(run_times, start=1)
        ],
    }
    return Drop(tuple(Part(name, "", tuple(map(Row, rows[name]))) for name in TABLES))


def _break(row: Row, table: str, rule: str, value: str, bases: dict[str, int]) -> Row:
    """Return the row with a fault; the ids of a table are its base plus 1, 2, ..."""
    if rule in BAD_SHAPES:
        return replace(row, fault=rule)
    column = BAD_CELLS[table][rule][0]
    unknown = bases["users" if column == "user_id" else "compounds"]
    value = value.replace(FIRST, str(bases[table] + 1)).replace(UNKNOWN, str(unknown))
    at = COLUMNS[table].index(column)
    return replace(row, cells=(*row.cells[:at], value, *row.cells[at + 1 :]))


def dialects() -> st.SearchStrategy[Dialect]:
    """Draw any way of writing a file that the contract takes."""
    return st.sampled_from(",\t;|").flatmap(_dialects)


def _dialects(delimiter: str) -> st.SearchStrategy[Dialect]:
    blanks = ("", " ", "  ") if delimiter == "\t" else ("", " ", "\t", " \t")
    bare = ("", delimiter, delimiter * 3, f" {delimiter} {delimiter}", delimiter * 7)
    padding = st.sampled_from([("",), *((text,) for text in blanks[1:]), blanks])
    return st.builds(
        Dialect,
        name=st.just("random"),
        delimiter=st.just(delimiter),
        before=padding,
        after=padding,
        edges=st.booleans(),
        inside=st.sampled_from([("",), (" ",), ("\t",), RAGGED]),
        quoting=st.sampled_from(["needed", "minimal", "all", "random"]),
        newlines=st.sampled_from([("\n",), ("\r\n",), ("\r",), ("\n", "\r\n", "\r")]),
        empty_lines=st.sampled_from([(), ("",), blanks, bare]),
        sep_line=st.booleans(),
        leading_line=st.booleans(),
        final_newline=st.booleans(),
        bom=st.booleans(),
        shuffled=st.booleans(),
        header_case=st.sampled_from(["lower", "upper", "title"]),
        extra_columns=st.sampled_from([(), ("Comment",), ("",), ("Notes, etc.", "a;b|c\td")]),
        seed=st.integers(0, 2**32),
    )


TEXTS = st.sampled_from(("Ann", "Bob", "C2H6O", *NASTY_TEXTS, *INVISIBLE_TEXTS)) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8
)
# How many rows and faults a table has at most: a bad user or compound spoils many experiments.
LIMITS = {"users": (6, 1), "compounds": (5, 1), "user_experiments": (16, 4)}
SPELLINGS = st.sampled_from(("{}", "{}", "{}", "+{}", "00{}", " {} "))


def id_bases() -> st.SearchStrategy[dict[str, int]]:
    """Draw for each table the number behind which its ids begin."""
    return st.fixed_dictionaries(dict.fromkeys(TABLES, st.sampled_from((0, 2**53, 2**63 - 100))))


@st.composite
def drops(draw: st.DrawFn, *, faults: bool = True, refused: bool = False) -> Drop:
    """Draw a whole drop with a row in every table at least, some of them faulty unless told.

    If so told, some drops have a file that refuses them: a lost part, a copy of another, one with a
    hole, or two that were joined, unless their columns are in the same order; and some have a file
    that loses or gains a row while it is read.

    The ids of a table are near each other, from 1, 2^53 or the end of bigint on: a pipeline that
    lets them pass through a float mixes them up.
    """
    bases = draw(id_bases())
    sizes = {table: draw(st.integers(1, most)) for table, (most, _) in LIMITS.items()}
    parts = []
    for table in TABLES:
        rows = [Row(draw_cells(draw, table, i + 1, bases, sizes)) for i in range(sizes[table])]
        for _ in range(draw(st.integers(0, LIMITS[table][1])) if faults else 0):
            at = draw(st.integers(0, len(rows) - 1))
            rows[at] = draw_fault(draw, table, rows[at], bases)
        if table == "user_experiments" and faults and draw(st.booleans()):
            at = draw(st.integers(0, len(rows) - 1))
            run_time = draw(st.sampled_from(THOUSANDS))
            rows[at] = replace(rows[at], cells=(*rows[at].cells[:-1], run_time))
        suffixes = draw(st.lists(st.sampled_from(SUFFIXES), min_size=1, max_size=3, unique=True))
        cuts = sorted(draw(st.integers(0, len(rows))) for _ in suffixes[1:])
        for suffix, start, end in zip(suffixes, [0, *cuts], [*cuts, len(rows)], strict=True):
            compression = draw(st.sampled_from(("", "", ".gz", ".zst")))
            written = tuple(rows[start:end])
            shouted = draw(st.booleans())
            tail = draw(st.sampled_from((b"", b"\0" * 9, b"\n", b"\0\r\n\0")))
            dialect = draw(dialects())
            parts.append(Part(table, suffix, written, dialect, compression, shouted, tail))
    beside = draw(st.lists(st.sampled_from(BESIDE), max_size=2, unique=True))
    fault = draw(st.integers(0, 19)) if refused else None
    if fault == 0:
        beside.append(draw(st.sampled_from(LOST)))
    elif fault == 1:
        parts.append(
            replace(parts[-1], suffix=" (1)", compression=draw(st.sampled_from(("", ".gz"))))
        )
    elif fault in (2, 3):
        at = draw(st.integers(0, len(parts) - 1))
        other = replace(
            parts[at].dialect, shuffled=draw(st.booleans()), seed=draw(st.integers(0, 9))
        )
        damage = {"joined": other} if fault == 2 else {"has_hole": True}
        parts[at] = replace(parts[at], **damage)
    torn = draw(st.sampled_from([part for part in parts if part.rows]))
    rows = draw(st.sampled_from((torn.rows[:-1], (*torn.rows, torn.rows[0]))))
    change = Change(replace(torn, rows=rows), draw(st.booleans()), draw(st.booleans()))
    is_torn = refused and draw(st.integers(0, 9)) == 0
    return Drop(tuple(parts), tuple(beside), change if is_torn else None)


def draw_cells(
    draw: st.DrawFn, table: str, number: int, bases: dict[str, int], sizes: dict[str, int]
) -> tuple[str, ...]:
    """Draw the cells of a table's row, right ones; it refers to rows up to the tables' sizes."""

    def spell(of: str, number: int) -> str:
        return draw(SPELLINGS).format(bases[of] + number)

    def refer(to: str) -> str:
        return spell(to, draw(st.integers(1, sizes[to])))

    own_id = spell(table, number)
    if table == "users":
        return own_id, draw(TEXTS), draw(st.sampled_from(EMAILS)), draw(st.sampled_from(DATES))
    if table == "compounds":
        return own_id, draw(TEXTS), draw(TEXTS)
    ids = draw(st.sampled_from(SEPARATORS)).join(
        refer("compounds") for _ in range(draw(st.integers(1, 4)))
    )
    hundredths = (st.integers(0, 100_000) | st.integers(0, 10**14 - 1)).map(
        lambda number: f"{number // 100}.{number % 100:02}"
    )
    return own_id, refer("users"), ids, draw(st.sampled_from(RUN_TIMES) | hundredths)


def draw_fault(draw: st.DrawFn, table: str, row: Row, bases: dict[str, int]) -> Row:
    """Draw what is wrong with a row, and return the row with this fault."""
    rule = draw(st.sampled_from((*BAD_CELLS[table], *BAD_SHAPES)))
    if rule == "nul_byte":
        at, cells = draw(st.integers(0, len(row.cells) - 1)), list(row.cells)
        cells[at] = draw(st.sampled_from(("\0{}", "{}\0", "\0"))).format(cells[at])
        broken = replace(row, cells=tuple(cells))
    else:
        value = "" if rule in BAD_SHAPES else draw(st.sampled_from(BAD_CELLS[table][rule][1]))
        broken = _break(row, table, rule, value, bases)
    # Which fields a short row lacks depends on the dialect: a NUL byte must not come and go.
    if broken.fault == "too_few_fields" and "\0" in "".join(broken.cells):
        return row
    return broken
