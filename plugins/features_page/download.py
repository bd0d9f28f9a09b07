"""The features as a CSV file that is safe to open in a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from experiment_features.report.page_queries import read_users
from features_page.connection import open_reader

# A spreadsheet takes a cell that begins like this for a formula (OWASP, "CSV injection"). If it
# splits cells at another separator than the file's, a formula may also begin within a text.
_FORMULA = re.compile(r"(^|[,;|\t\r\n])(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])")


def csv_of_users() -> Iterator[str]:
    """All users as CSV, in parts; the byte order mark tells a spreadsheet that it is UTF-8."""
    yield "\ufeff"
    with open_reader() as connection:
        for rows in read_users(connection):
            part = io.StringIO()
            csv.writer(part).writerows([_escape_formulas(value) for value in row] for row in rows)
            yield part.getvalue()


def _escape_formulas(value: Any) -> Any:
    """The value, with an apostrophe before each place in a text where a formula could begin."""
    return _FORMULA.sub(r"\1'", value) if isinstance(value, str) else value
