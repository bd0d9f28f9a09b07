"""The header of a file: which dialect the file is written in, and which columns it has."""

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from experiment_features.contract import MAX_COLUMNS, NAME_BYTES, Table
from experiment_features.errors import DropRefused
from experiment_features.reading.dialect import (
    DELIMITERS,
    Dialect,
    Record,
    UnclosedQuote,
    count_line_ends,
)
from experiment_features.reading.foreign_files import recognise_text
from experiment_features.reading.text_stream import TextStream
from experiment_features.visible_text import INVISIBLE, shown

_ANY_DELIMITER = b"[" + b"".join(DELIMITERS) + b"]"
_EMPTY_LINES = re.compile(rb"(?:[ \t,;|]*(?:\r\n|\r|\n))*+")
"""Only blanks and delimiters, of any dialect."""
_DELIMITER_LINE = re.compile(
    rb'"?sep=(' + _ANY_DELIMITER + rb')"?(?:\1| )*(?:\r\n|\r|\n)', re.IGNORECASE
)
"""The line before the header that sets the delimiter, in Excel as well."""
_QUOTED = re.compile(r'"(?:[^"]|"")*+"')
_WORDS = re.compile(_QUOTED.pattern + r'|[^,;|\t"]+')
"""Matches fields, whatever separates them."""
_HIDDEN = re.compile(f"[{INVISIBLE}]")
_LINE_ENDS = re.compile("\r\n|\r|\n")
_OTHER_LINE_ENDS = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_OTHER_QUOTES = "'`´‘’‚“”„«»"
_LINES_SEARCHED = 50
"""How many lines before the header, such as titles, are recognised as such."""


class Header(NamedTuple):
    """A file's header as it reads under one dialect."""

    matches: int
    """How many of the table's columns it names."""
    dialect: Dialect
    record: Record
    names: list[str]
    """As they stand in the file."""

    @property
    def columns(self) -> list[str]:
        """The names in lower case."""
        return [name.lower() for name in self.names]


def read_header(text: TextStream, table: Table) -> Header:
    """Consumes a file up to and with its header.

    Raises:
        DropRefused: the file is empty, or its header is not the table's.
    """
    delimiters: Sequence[bytes] = DELIMITERS
    while True:
        whole = _skip(text, _EMPTY_LINES, text.whole_lines())
        if delimiters is DELIMITERS and (told := _DELIMITER_LINE.match(whole)):
            delimiters = [told[1]]
            whole = _skip(text, _DELIMITER_LINE, whole)
            whole = _skip(text, _EMPTY_LINES, whole)
        if whole:
            try:
                header = _choose_dialect(whole, table, delimiters, is_last=text.is_last)
            except UnclosedQuote:
                if text.is_last:
                    _refuse_foreign(whole, text)
                text.refuse_endless_row(0)
            else:
                line = whole[: header.record.end]
                _check(header, table, line, text)
                text.consume(len(line), count_line_ends(line))
                return header
        if text.is_last:
            raise DropRefused(
                f"{text.name} is empty: expected a header line with the columns "
                f"{', '.join(table.required_names)}"
            )
        text.fetch()


def _skip(text: TextStream, lines: re.Pattern[bytes], whole: bytes) -> bytes:
    """Consumes the lines with which ``whole`` begins, if they match, and returns the rest."""
    found = lines.match(whole)
    end = found.end() if found else 0
    text.consume(end, count_line_ends(whole[:end]))
    return whole[end:]


def _choose_dialect(
    text: bytes, table: Table, delimiters: Sequence[bytes], *, is_last: bool
) -> Header:
    """The header under the delimiter with which it names most of the table's columns.

    Raises:
        UnclosedQuote: more text is needed to tell.
    """
    headers = []
    for dialect in map(Dialect, delimiters):
        with suppress(UnclosedQuote):  # quotes make no sense under a wrong delimiter
            record = dialect.parse_record(text, 0)
            names = [field.decode() for field in record.fields]
            header = Header(0, dialect, record, names)
            matches = len(set(table.column_names).intersection(header.columns))
            headers.append(header._replace(matches=matches))
    best = max(headers, key=_likelihood, default=None)
    if best is None:
        raise UnclosedQuote
    is_sure = len(headers) == len(delimiters) or set(table.required_names) <= set(best.columns)
    if not (is_sure or is_last):
        raise UnclosedQuote
    return best


def _likelihood(header: Header) -> tuple[int, int]:
    """Orders headers by their matches; if there are none, the message should have all names."""
    return header.matches, 0 if header.matches else len(header.names)


def _check(header: Header, table: Table, line: bytes, text: TextStream) -> None:
    place = f"{text.name} line {text.line}: the header"
    if b"\0" in line:
        raise DropRefused(
            f"{place} holds NUL bytes, as UTF-16 and binary files do: expected text. "
            "Save the file as UTF-8",
            line=text.line,
        )
    names = {name.lower(): name for name in header.names}
    missing = [name for name in table.required_names if name not in names]
    if missing or header.record.is_malformed:
        _refuse_header(header, missing, table, line, text)
    _check_size(header, place, text.line)
    double = sorted(name for name, n in Counter(header.columns).items() if name and n > 1)
    if double:
        shown_names = ", ".join(shown(names[name]) for name in double[:12])
        raise DropRefused(
            f"{place} has the column {shown_names} more than once: remove or rename one",
            line=text.line,
            column=double[0],
        )


def _refuse_header(
    header: Header, missing: Sequence[str], table: Table, line: bytes, text: TextStream
) -> NoReturn:
    """Refuses a header that lacks columns or has text after a closing quote."""
    place = f"{text.name} line {text.line}: the header"
    _refuse_foreign(line, text)
    if layout := _explain_layout(header, line, table):
        raise DropRefused(
            f"{place} {layout}; found '{shown(line.decode().strip())}'", line=text.line
        )
    if header.record.is_malformed:
        raise DropRefused(
            f"{place} has text after a closing quote: double the quotes inside a name",
            line=text.line,
        )
    columns = "column" if len(missing) == 1 else "columns"
    found = ", ".join(f"'{shown(name)}'" for name in header.names[:12])
    raise DropRefused(
        f"{place} lacks the {columns} {', '.join(missing)}; found {found}, with "
        f"'{shown(header.dialect.delimiter.decode())}' as delimiter. "
        f"{_remedy(header, line, missing, table, _find_header(text, table))}",
        line=text.line,
        column=missing[0],
    )


def _explain_layout(header: Header, line: bytes, table: Table) -> str | None:
    """What is wrong with how the header is written, if that is why it cannot be used."""
    words = line.decode().lower().strip()
    if words.lstrip('"').startswith(("#", "//", "--")):
        return "begins like a comment: delete the lines, or the sign, in front of the columns"
    required = set(table.required_names)
    used = _find_delimiters(words)
    if required <= {word.strip('" \t') for word in _WORDS.findall(words)} and (
        explained := _explain_delimiters(header.dialect.delimiter.decode(), used)
    ):
        return explained
    if required <= set(re.findall(r"\w+", words)):
        first, *others = header.names
        is_quoted = '"' in words and re.search(_ANY_DELIMITER, first.encode())
        if is_quoted and not any(others):
            return "has several columns within the same quotes: remove quotes around whole lines"
        if not used:
            return (
                "does not separate its columns by a comma, semicolon, pipe or tab: use one of them"
            )
    return None


def _explain_delimiters(expected: str, used: set[str]) -> str | None:
    """What is wrong with the delimiters of a header that has all columns."""
    found = " and ".join(f"'{shown(delimiter)}'" for delimiter in sorted(used))
    if used and expected not in used:
        return (
            f"is separated by {found}, but the line before it sets '{shown(expected)}' as "
            "delimiter: correct or delete that line"
        )
    if len(used) > 1:
        return (
            f"mixes {found} as delimiters, as spreadsheets do when they save a file that they did "
            "not split into columns: export the table with only one of them"
        )
    return None


def _find_delimiters(line: str) -> set[str]:
    """The delimiters in a line; not those within quotes, nor tabs that pad another one."""
    bare = re.sub(r"(?<![ \t])[ \t]*([,;|])[ \t]*", r"\1", _QUOTED.sub('""', line))
    return set(re.findall(r"[,;|\t]", bare))


def _find_header(text: TextStream, table: Table) -> int | None:
    """The line on which the columns are, if that is one of the next few."""
    lines = _LINE_ENDS.split(text.whole_lines()[:NAME_BYTES].decode(errors="replace").lower())
    for number, line in enumerate(lines[1:_LINES_SEARCHED], start=text.line + 1):
        words = {word.strip('" \t') for word in _WORDS.findall(line)}
        if words.issuperset(table.required_names):
            return number
    return None


def _remedy(
    header: Header, line: bytes, missing: Sequence[str], table: Table, found_at: int | None
) -> str:
    """What to do about a header that lacks columns, or has them on another line."""
    if line.lower().startswith(b"sep="):
        return "Delete this line: it may only specify a comma, semicolon, pipe or tab"
    if found_at:
        return f"Line {found_at} has the columns: delete the lines before it"
    hidden = [name for name in header.columns if _HIDDEN.sub("", name).strip('"') in missing]
    if any("\ufeff" in name for name in hidden):
        return r"Delete the byte order mark (\ufeff) before the name"
    if hidden:
        return "Delete the invisible characters, which are shown as escapes"
    if ends := _OTHER_LINE_ENDS.search(line.decode()):
        return f"End the lines in LF, CRLF or CR, and not in {shown(ends[0])}"
    if any(name.strip(_OTHER_QUOTES) in missing for name in header.columns):
        return 'Remove the quotes around the names: only double quotes (") can enclose a field'
    if not header.matches and any(map(str.isdecimal, header.names)):
        return "If this line is a row, add a header line before it"
    if header.columns == [table.key]:
        return f"If the file lists rows to delete, name it deleted_{table}.csv; else add the others"
    squeezed = {_squeeze(name): name for name in header.names}
    if renamed := [column for column in missing if _squeeze(column) in squeezed]:
        pairs = (f"'{shown(squeezed[_squeeze(column)])}' to {column}" for column in renamed)
        others = "; add the others" if len(renamed) < len(missing) else ""
        return f"Rename {', '.join(pairs)}{others}"
    columns = "column" if len(missing) == 1 else "columns"
    return f"Add the {columns}, rename what has another name, or deliver the right file"


def _squeeze(name: str) -> str:
    """A column's name without what people change about it: case, signs, a unit in brackets."""
    return re.sub(r"[(\[].*|[\W_]", "", name.lower())


def _check_size(header: Header, place: str, line: int) -> None:
    if len(header.names) > MAX_COLUMNS:
        raise DropRefused(
            f"{place} has {len(header.names)} columns: expected at most {MAX_COLUMNS}. "
            "Remove those that are not needed",
            line=line,
        )
    for number, field in enumerate(header.record.fields, start=1):
        if len(field) > NAME_BYTES:
            raise DropRefused(
                f"{place} has a name of {len(field)} bytes for column {number} "
                f"({shown(field.decode())}): expected at most {NAME_BYTES}. Shorten the name, or "
                "add the missing closing quote",
                line=line,
            )


def _refuse_foreign(begin: bytes, text: TextStream) -> None:
    if kind := recognise_text(begin):
        raise DropRefused(f"{text.name} line {text.line} looks like {kind}", line=text.line)
