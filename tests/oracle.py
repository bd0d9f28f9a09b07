"""What a drop must give, computed a second time: plainly, slowly, and apart from the pipeline.

Nothing here is shared with `experiment_features`: a mistake would have to be made twice, in two
different ways, to go unseen. The standard library alone; pyarrow only undoes Zstandard.
"""

import re
import unicodedata
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import partial
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

import pyarrow as pa

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
DELETIONS = {f"deleted_{table}": columns[:1] for table, columns in COLUMNS.items()}
"""What a delta may have besides: the ids of rows that are gone."""
WARNINGS = frozenset(
    {"email_invalid", "signup_date_invalid", "signup_date_in_future", "compound_structure_missing"}
)
LINE_END = re.compile(r"\r\n|\r|\n")
INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
POINT_AND_THREE = re.compile(r"[+-]?[0-9]*\.[0-9]{3}")
WHOLE_PART = re.compile(r"\d+|\d{1,3}([.'\u2019 ]\d{3})+")
FRACTION = re.compile(r"\d+([eE][+-]?\d+)?")
SEVERAL_POINTS = re.compile(r"\d{1,3}(\.\d{3}){2,}")
COMMA = re.compile("[,\u066b\uff0c]")
SEP = re.compile(r'"?sep=([,;|\t])"?(\1| )*', re.IGNORECASE)
# What shows nothing though it is no control and no blank: Default_Ignorable_Code_Point of Unicode.
IGNORABLE = {
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810)),
    *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x2800, 0x3164),
    *(*range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0, *range(0xFFF0, 0xFFFC), *range(0x1BCA0, 0x1BCA4)),
    *(*range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
}
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
BY_PRODUCT = re.compile(r"(~|\.bak|\.sha256|\.md5)\Z")
EMAIL = re.compile(r"[^@ \t\r\n]+@[^@ \t\r\n]+\.[^@ \t\r\n]+")


class RefusedError(Exception):
    """The drop cannot be read: the run must stop and change nothing."""


@dataclass(frozen=True)
class Expected:
    """The features and the issues that a drop must give."""

    users: dict[int, dict[str, Any]]
    compounds: dict[int, dict[str, Any]]
    average_experiments_per_user: float | None
    rows: dict[str, int]
    rejected: set[tuple[str, str, int]]
    issues: set[tuple[str, str, int, str]]


@dataclass(frozen=True)
class Row:
    """A data row: the faults of its shape, and its cells when these can be told apart."""

    file_name: str
    line: int
    cells: dict[str, str]
    shape_rules: list[str]

    def certain_cells(self) -> dict[str, str]:
        """Return the cells; one that can be read in two ways is as if it were empty."""
        return {
            name: "" if f"{name}_ambiguous" in self.shape_rules else text
            for name, text in self.cells.items()
        }


@dataclass(frozen=True)
class Verdict:
    """A row, and the rules that it breaks."""

    row: Row
    rules: list[str]
    warnings: frozenset[str] = WARNINGS
    """The rules that do not reject a row."""

    @property
    def is_valid(self) -> bool:
        """Whether the row is kept."""
        return self.warnings.issuperset(self.rules)


def unpack(path: Path) -> bytes:
    """Return the file's bytes, decompressed."""
    content = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        texts, rest = [], content
        while rest:
            archive = zlib.decompressobj(wbits=31)
            texts.append(archive.decompress(rest))
            rest = archive.unused_data.lstrip(b"\0\r\n")
        content = b"".join(texts)
    elif path.name.lower().endswith(".zst"):
        content = bytes(pa.CompressedInputStream(pa.BufferReader(content), "zstd").read())
    return content


def split_records(text: str, delimiter: str) -> Iterator[tuple[int, list[str], list[str], str]]:
    """Yield line, fields, faults and text of the records; line breaks within quotes are content."""
    padding = " " if delimiter == "\t" else " \t"
    empty_line = re.compile(rf"[{padding}{re.escape(delimiter)}]*(?=[\r\n]|\Z)")
    # The loop over the content is possessive: a doubled quote must never be split in two halves.
    quoted = re.compile(rf'[{padding}]*"((?:[^"]|"")*+)"')
    to_field_end = re.compile(rf"[^{re.escape(delimiter)}\r\n]*")
    at, line = 0, 1
    while at < len(text):
        if empty := empty_line.match(text, at):
            at = empty.end()
        else:
            start, fields, malformed = at, [], False
            while True:
                content = quoted.match(text, at)
                rest = to_field_end.match(text, content.end() if content else at)
                outside = rest.group().strip(padding)
                if outside.startswith('"') and not content:
                    raise RefusedError(f"a quote is never closed in the row from line {line} on")
                fields.append(content[1].replace('""', '"').strip(" \t") if content else outside)
                malformed |= bool(content and outside)
                at = rest.end()
                if text[at : at + 1] != delimiter:
                    break
                at += 1
            record = text[start:at]
            faults = [("nul_byte", "\0" in record), ("malformed_quotes", malformed)]
            if malformed and LINE_END.search(record):
                raise RefusedError(f"text behind a closing quote in the row from line {line} on")
            yield line, fields, [rule for rule, found in faults if found], record
            line += len(LINE_END.findall(record))
        if end := LINE_END.match(text, at):
            at = end.end()
        line += 1


def split_preamble(text: str) -> tuple[int, str, str]:
    """Return how many lines stand before the header, its possible delimiters, and the rest."""
    # The tab comes last: in `user_id<TAB>|<TAB>name` it is padding, though it would do as well.
    lines, delimiters, at = 0, ",;|\t", 0
    for end in LINE_END.finditer(text):
        line = text[at : end.start()]
        told = SEP.fullmatch(line)
        if told and len(delimiters) > 1:
            delimiters = told[1]
        elif line.strip(" \t,;|"):
            break
        lines, at = lines + 1, end.end()
    return lines, delimiters, text[at:]


def find_header(text: str, columns: Iterable[str], delimiters: str) -> tuple[str, list[str]]:
    """Return the delimiter under which the first record names all columns, and its names."""
    for delimiter in delimiters:
        # Under a wrong delimiter the quotes may make no sense: that is no reason to refuse yet.
        with suppress(RefusedError, StopIteration):
            _, fields, faults, _ = next(split_records(text, delimiter))
            names = [name.lower() for name in fields]
            if not faults and all(names.count(column) == 1 for column in columns):
                return delimiter, names
    raise RefusedError("no header names every column once")


def has_swallowed_a_row(record: str, delimiter: str, columns: int, key: int) -> bool:
    """Tell whether the first line of a record and a later one are each long enough for a record.

    The later one has an id, seen from one of its ends; if it is as long as a record, the id may
    have other signs as well.
    """
    first, *others = (line.split(delimiter) for line in LINE_END.split(record))
    ids = [
        (cells[place].strip(' \t"'), len(cells) == columns)
        for cells in others
        if len(cells) >= columns
        for place in (key, key - columns)
    ]
    return len(first) >= columns and any(
        INTEGER.fullmatch(text) or (is_exact and re.fullmatch('[^ \t"]*[0-9][^ \t"]*', text))
        for text, is_exact in ids
    )


def refuse_names(
    fields: Sequence[str], names: Sequence[str], columns: Sequence[str], line: int
) -> None:
    """Refuse a row of names that are not in the order of the header.

    Either all its cells are names of the header, or two of them are names of other columns.
    """
    if len(fields) != len(names):
        return
    cells = dict(zip(names, fields, strict=True))
    again = {column: cells[column].lower().strip(' \t"\ufeff') for column in columns}
    misplaced = [column for column in columns if again[column] != column]
    known = {name for of_table in COLUMNS.values() for name in of_table}
    if (misplaced and {*again.values()} <= {*names} - {""}) or (
        sum(again[column] in known for column in misplaced) > 1
    ):
        raise RefusedError(f"line {line} is a header of another order: files were joined")


def read_part(path: Path, table: str) -> Iterator[Row]:
    """Yield the data rows of one file."""
    columns = (COLUMNS | DELETIONS)[table]
    content = unpack(path)
    if bytes(512) in content:
        raise RefusedError("a block of the file was never written")
    before, delimiters, text = split_preamble(content.decode("utf-8-sig"))
    delimiter, names = find_header(text, columns, delimiters)
    key = names.index(columns[0])
    for number, fields, faults, record in islice(split_records(text, delimiter), 1, None):
        line = before + number
        if has_swallowed_a_row(record, delimiter, len(names), key):
            raise RefusedError(f"the row from line {line} on has swallowed another")
        if "malformed_quotes" in faults:
            refuse_names(record.split(delimiter), names, columns, line)
            yield Row(path.name, line, {}, faults)
        elif len(fields) != len(names):
            rule = "too_few_fields" if len(fields) < len(names) else "too_many_fields"
            yield Row(path.name, line, {}, [*faults, rule])
        else:
            refuse_names(fields, names, columns, line)
            yield Row(path.name, line, dict(zip(names, fields, strict=True)), faults)


def list_files(folder: Path, table: str) -> list[Path]:
    """Return a table's files in the order of their names."""
    pattern = re.compile(rf"{table}.*\.csv(\.gz|\.zst)?", re.DOTALL)
    found = []
    for path in sorted(folder.iterdir(), key=lambda p: p.name):
        name = path.name.lower()
        if pattern.fullmatch(name):
            found.append(path)
        elif name.startswith(table) and not BY_PRODUCT.search(name):
            raise RefusedError(f"{name} may be a part of {table}")
    return found


def read_table(folder: Path, table: str) -> list[Row]:
    """Return the data rows of a table's files, if it has any, in the order of their names."""
    found: list[Row] = []
    contents = []
    for path in list_files(folder, table):
        rows = list(read_part(path, table))
        found += mark_ambiguous(rows)
        contents += [unpack(path)] * bool(rows)
    if len(set(contents)) < len(contents):
        raise RefusedError(f"{table} is there twice")
    return found


def read_snapshot(folder: Path) -> dict[str, list[Row]]:
    """Return the data rows of all tables of a drop that is the whole."""
    for table in DELETIONS:
        if list_files(folder, table):
            raise RefusedError(f"{table} has no place in a snapshot")
    for table in COLUMNS:
        if not list_files(folder, table):
            raise RefusedError(f"no file for {table}")
    return {table: read_table(folder, table) for table in COLUMNS}


def mark_ambiguous(part: list[Row]) -> list[Row]:
    """Return the rows of a file; where it has decimal commas, some points say nothing."""
    column = "experiment_run_time"
    if not any(shows_thousands(row.cells.get(column, "")) for row in part):
        return part
    return [
        replace(row, shape_rules=[*row.shape_rules, f"{column}_ambiguous"])
        if POINT_AND_THREE.fullmatch(row.cells.get(column, ""))
        else row
        for row in part
    ]


def shows_thousands(text: str) -> bool:
    """Tell whether the text is one number with a decimal comma or points between thousands."""
    kinds = {sign: unicodedata.category(sign) for sign in text}
    blanks = "".join(sign for sign in kinds if kinds[sign][0] in "CZ")
    text = "".join(" " if kinds[sign][0] == "Z" else sign for sign in text)
    digits = [i for i, sign in enumerate(text) if sign.isdecimal()]
    if not digits or len(COMMA.findall(text)) > 1:
        return False
    before, behind = text[: digits[0]], text[digits[-1] + 1 :]
    number = text[digits[0] : digits[-1] + 1]
    words = "".join(sign if sign.isalpha() else " " for sign in before).split()
    bare = not any(sign.isalpha() or sign == "." for sign in before + behind)
    if COMMA.search(behind):
        blank, after = COMMA.split(behind)
        is_dash = after.strip(blanks)[:1] in [*"-\u2013\u2014\u2212"] and not blank.strip(blanks)
        is_fraction = (is_dash and len(words) < 2) or (bare and not blank)
        return bool(is_fraction and WHOLE_PART.fullmatch(number))
    if COMMA.search(before):
        return bool(bare and COMMA.match(before[-1]) and FRACTION.fullmatch(number))
    if len(words) > 1 or not COMMA.search(number):
        return len(words) < 2 and bool(SEVERAL_POINTS.fullmatch(number))
    whole, fraction = (part.strip(blanks + " ") for part in COMMA.split(number))
    return bool(WHOLE_PART.fullmatch(whole) and FRACTION.fullmatch(fraction))


def is_visible(name: str) -> bool:
    """Tell whether a name has a character that shows; NUL has a rule of its own."""
    kinds = ("Cc", "Zs", "Zl", "Zp")
    return any(
        sign == "\0" or (unicodedata.category(sign) not in kinds and ord(sign) not in IGNORABLE)
        for sign in name
    )


def to_integer(text: str) -> int | None:
    """Return the integer that the text spells, if it is one of 64 bits."""
    # By way of Decimal, because int() refuses to read more than 4300 digits.
    value = Decimal(text) if INTEGER.fullmatch(text) else None
    return int(value) if value is not None and -(2**63) <= value < 2**63 else None


def to_day(text: str) -> date | None:
    """Return the date that the text spells as YYYY-MM-DD."""
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None


def to_run_time(text: str) -> Decimal:
    """Return the number that the text spells; one too small for a double is 0."""
    return Decimal(text) if float(text) else Decimal(0)


def to_ids(experiment: dict[str, str]) -> set[int | None]:
    """Return the distinct ids of an experiment's compounds, None for an item that is none."""
    items = [item.strip(" \t") for item in experiment["experiment_compound_ids"].split(";")]
    return {to_integer(item) for item in items if item}


def check_id(column: str, text: str, seen: set[int]) -> Iterator[str]:
    """Yield the faults of a row's own id, and remember the id."""
    value = to_integer(text)
    if not text:
        yield f"{column}_missing"
    elif value is None or value <= 0:
        yield f"{column}_invalid"
    if value in seen:
        yield f"{column}_repeated"
    if value is not None:
        seen.add(value)


def check_user(cells: dict[str, str], *, seen: set[int], today: date) -> Iterator[str]:
    """Yield the faults of a user."""
    yield from check_id("user_id", cells["user_id"], seen)
    if not is_visible(cells["name"]):
        yield "name_missing"
    if not EMAIL.fullmatch(cells["email"]):
        yield "email_invalid"
    signed_up = to_day(cells["signup_date"])
    if signed_up is None:
        yield "signup_date_invalid"
    elif signed_up > today:
        yield "signup_date_in_future"


def check_compound(cells: dict[str, str], *, seen: set[int]) -> Iterator[str]:
    """Yield the faults of a compound."""
    yield from check_id("compound_id", cells["compound_id"], seen)
    if not is_visible(cells["compound_name"]):
        yield "compound_name_missing"
    if not cells["compound_structure"]:
        yield "compound_structure_missing"


def check_experiment(
    cells: dict[str, str], *, seen: set[int], users: Iterable[int], compounds: Iterable[int]
) -> Iterator[str]:
    """Yield the faults of an experiment, given the ids of the valid users and compounds."""
    yield from check_id("experiment_id", cells["experiment_id"], seen)
    user_id = to_integer(cells["user_id"])
    if not cells["user_id"]:
        yield "user_id_missing"
    elif user_id is None:
        yield "user_id_invalid"
    elif user_id not in users:
        yield "user_id_unknown"
    ids = to_ids(cells)
    if not ids:
        yield "experiment_compound_ids_missing"
    elif None in ids:
        yield "experiment_compound_ids_invalid"
    elif not ids <= set(compounds):
        yield "experiment_compound_ids_unknown"
    run_time = cells["experiment_run_time"]
    if run_time and not (NUMBER.fullmatch(run_time) and isfinite(float(run_time))):
        yield "experiment_run_time_invalid"
    elif run_time and not (to_run_time(run_time) >= 0 and float(run_time) < 1e12):
        yield "experiment_run_time_out_of_range"


def mean(values: list[Fraction] | list[int]) -> float | None:
    """Return the exact mean, rounded once; None of no values."""
    return float(Fraction(sum(values)) / len(values)) if values else None


def describe_user(
    name: str, experiments: list[dict[str, str]], compound_names: dict[int, str]
) -> dict[str, Any]:
    """Return a user's features from the user's valid experiments."""
    used = [to_ids(experiment) for experiment in experiments]
    run_times = [
        Fraction(to_run_time(text).quantize(Decimal("1e-9"), ROUND_HALF_UP))
        for text in (experiment["experiment_run_time"] for experiment in experiments)
        if text
    ]
    counts = Counter(compound_id for ids in used for compound_id in ids)
    most = max(counts.values(), default=None)
    winners = sorted(compound_id for compound_id, count in counts.items() if count == most)
    return {
        "user_name": name,
        "total_experiments": len(experiments),
        "average_experiment_run_time": mean(run_times),
        "average_compounds_per_experiment": mean([len(ids) for ids in used]),
        "most_common_compound_id": winners[0] if winners else None,
        "most_common_compound_name": compound_names[winners[0]] if winners else None,
        "most_common_compound_experiments": most,
        "most_common_compound_ids": winners or None,
    }


def judge(rows: dict[str, list[Row]], today: date) -> dict[str, list[Verdict]]:
    """Return the verdict on every row of the three tables."""

    def check_rows(table: str, check: Callable[[dict[str, str]], Iterable[str]]) -> list[Verdict]:
        return [
            Verdict(row, [*row.shape_rules, *(check(row.certain_cells()) if row.cells else ())])
            for row in rows[table]
        ]

    users = check_rows("users", partial(check_user, seen=set(), today=today))
    compounds = check_rows("compounds", partial(check_compound, seen=set()))
    known = {
        "users": {to_integer(cells["user_id"]) for cells in valid_rows(users)},
        "compounds": {to_integer(cells["compound_id"]) for cells in valid_rows(compounds)},
    }
    experiments = check_rows("user_experiments", partial(check_experiment, seen=set(), **known))
    return {"users": users, "compounds": compounds, "user_experiments": experiments}


def valid_rows(verdicts: list[Verdict]) -> list[dict[str, str]]:
    """Return the cells of the valid rows."""
    return [verdict.row.cells for verdict in verdicts if verdict.is_valid]


def summarise(verdicts: dict[str, list[Verdict]]) -> Expected:
    """Return the features of the three tables, and the issues of these and any others."""
    users = {to_integer(row["user_id"]): row["name"] for row in valid_rows(verdicts["users"])}
    compounds = {
        to_integer(row["compound_id"]): row["compound_name"]
        for row in valid_rows(verdicts["compounds"])
    }
    experiments = valid_rows(verdicts["user_experiments"])
    of_user, of_compound = defaultdict(list), defaultdict(list)
    for experiment in experiments:
        user_id = to_integer(experiment["user_id"])
        of_user[user_id].append(experiment)
        for compound_id in to_ids(experiment):
            of_compound[compound_id].append(user_id)
    issues = {
        (table, verdict.row.file_name, verdict.row.line, rule)
        for table, found in verdicts.items()
        for verdict in found
        for rule in verdict.rules
    }
    return Expected(
        users={i: describe_user(name, of_user[i], compounds) for i, name in users.items()},
        compounds={
            compound_id: {
                "compound_name": name,
                "total_experiments": len(of_compound[compound_id]),
                "total_users": len(set(of_compound[compound_id])),
            }
            for compound_id, name in compounds.items()
        },
        average_experiments_per_user=len(experiments) / len(users) if users else None,
        rows={table: len(found) for table, found in verdicts.items()},
        rejected={
            (table, verdict.row.file_name, verdict.row.line)
            for table, found in verdicts.items()
            for verdict in found
            if not verdict.is_valid
        },
        issues=issues,
    )


def compute(folder: Path, today: date | None = None) -> Expected:
    """Return what the drop in the folder must give.

    Args:
        folder: Holds the files of all three tables.
        today: The day after which a signup date lies in the future; by default this one, in UTC.

    Raises:
        RefusedError: A table or column is missing or doubled, or the quotes cannot be understood.
        UnicodeDecodeError: A file is not UTF-8.
    """
    return summarise(judge(read_snapshot(folder), today or datetime.now(UTC).date()))
