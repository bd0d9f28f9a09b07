"""The header of a file: which dialect the file is written in, and which columns it has."""

import re
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

from experiment_features.contract import Table
from experiment_features.errors import DropRefused
from experiment_features.reading.dialect import (
    DELIMITERS,
    Dialect,
    Record,
    UnclosedQuote,
    count_line_ends,
)
from experiment_features.reading.text_stream import TextStream


class Header(NamedTuple):
    """A file's header as it reads under one dialect."""

    matches: int
    """How many of the table's columns it names."""
    dialect: Dialect
    record: Record
    columns: list[str]
    """In lower case."""


def read_header(text: TextStream, table: Table) -> Header:
    """Consumes a file up to and with its header.

    Raises:
        DropRefused: the file is empty, or its header is not the table's.
    """
    while True:
        whole = text.whole_lines()
        blank = re.match(rb"(?:[ \t]*(?:\r\n|\r|\n))*", whole)
        skipped = blank.end() if blank else 0
        text.consume(skipped, count_line_ends(whole[:skipped]))
        if whole := whole[skipped:]:
            try:
                header = _choose_dialect(whole, table, is_last=text.is_last)
            except UnclosedQuote:
                text.refuse_endless_row(0)
            else:
                line = whole[: header.record.end]
                _check(header, table, line, f"{text.name} line {text.line}: the header")
                text.consume(len(line), count_line_ends(line))
                return header
        if text.is_last:
            raise DropRefused(
                f"{text.name} is empty: expected a header line with the columns "
                f"{', '.join(table.required_names)}"
            )
        text.fetch()


def _choose_dialect(text: bytes, table: Table, *, is_last: bool) -> Header:
    """The header under the delimiter with which it names most of the table's columns.

    Raises:
        UnclosedQuote: more text is needed to tell.
    """
    headers = []
    for dialect in map(Dialect, DELIMITERS):
        with suppress(UnclosedQuote):  # quotes make no sense under a wrong delimiter
            record = dialect.parse_record(text, 0)
            columns = [field.decode().lower() for field in record.fields]
            matches = len(set(table.column_names).intersection(columns))
            headers.append(Header(matches, dialect, record, columns))
    best = max(headers, key=attrgetter("matches"), default=None)
    if best is None:
        raise UnclosedQuote
    is_sure = len(headers) == len(DELIMITERS) or set(table.required_names) <= set(best.columns)
    if not (is_sure or is_last):
        raise UnclosedQuote
    return best


def _check(header: Header, table: Table, line: bytes, place: str) -> None:
    if b"\0" in line:
        raise DropRefused(
            f"{place} holds NUL bytes, as UTF-16 and binary files do: expected text. "
            "Save the file as UTF-8"
        )
    if header.record.is_malformed:
        raise DropRefused(
            f"{place} has text after a closing quote: double the quotes inside a name"
        )
    columns = header.columns
    missing = [name for name in table.required_names if name not in columns]
    if missing:
        found = ", ".join(repr(name[:60]) for name in columns[:12])
        raise DropRefused(
            f"{place} lacks the column {', '.join(missing)}; found {found}. "
            "Add the column, or deliver the right file"
        )
    double = sorted({name for name in columns if name and columns.count(name) > 1})
    if double:
        raise DropRefused(
            f"{place} has the column {', '.join(double)} more than once: remove or rename one"
        )
